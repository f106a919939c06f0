// The rest of a cluster, for tests: a node that takes every pod, calls it running at a loopback address and answers the API
// server's port-forward and log requests with the kubelet's own streaming library; some of the controller manager's own
// controllers; and endpoints, loopback addresses included. It starts no container: whatever listens on a pod's address is
// the test's business.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	etcd "go.etcd.io/etcd/client/v3"
	coordination "k8s.io/api/coordination/v1"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/cri-streaming/pkg/streaming/portforward"
)

// addressAnnotation asks for a pod address; without it the next of 127.1.0.1, 127.1.0.2, … is taken.
const addressAnnotation = "cluster.test/address"

var (
	name       = flag.String("name", "laptop", "name of the node")
	kubeconfig = flag.String("kubeconfig", "", "how to reach the API server, as an administrator")
	port       = flag.Int("port", 10250, "where the API server reaches this node, on 127.0.0.1")
	cert       = flag.String("cert", "", "serving certificate")
	key        = flag.String("key", "", "its key")
	clientCA   = flag.String("client-ca", "", "who may call")
	logs       = flag.String("logs", "", "folder of NAMESPACE_POD_CONTAINER.log")
	rootCA     = flag.String("root-ca", "", "root certificate of the API server, published in every namespace")
	etcdURL    = flag.String("etcd", "", "etcd of the API server, where endpoints are written")
)

type node struct {
	client kubernetes.Interface
	pods   cache.Store
	mu     sync.Mutex
	next   int
}

func main() {
	flag.Parse()
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	must(err)
	config.QPS, config.Burst = 100, 200
	n := &node{client: kubernetes.NewForConfigOrDie(config)}
	must(n.register(context.Background()))
	go n.renew()
	must(runControllers(context.Background(), config, n.client, *rootCA))
	store, err := etcd.New(etcd.Config{Endpoints: []string{*etcdURL}})
	must(err)
	shared := informers.NewSharedInformerFactory(n.client, 0)
	pods := shared.Core().V1().Pods().Informer()
	n.pods = pods.GetStore()
	pods.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { n.sync(o.(*core.Pod)) },
		UpdateFunc: func(_, o any) { n.sync(o.(*core.Pod)) },
	})
	n.writeEndpoints(store, shared)
	shared.Start(make(chan struct{}))
	must(n.serve())
}

func (n *node) register(ctx context.Context) error {
	want := &core.Node{
		ObjectMeta: meta.ObjectMeta{Name: *name, Labels: map[string]string{
			"kubernetes.io/hostname": *name, "topology.kubernetes.io/region": "local", "topology.kubernetes.io/zone": "local-a",
		}},
	}
	if _, err := n.client.CoreV1().Nodes().Create(ctx, want, meta.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	have, err := n.client.CoreV1().Nodes().Get(ctx, *name, meta.GetOptions{})
	if err != nil {
		return err
	}
	have.Spec.Taints = nil
	if have, err = n.client.CoreV1().Nodes().Update(ctx, have, meta.UpdateOptions{}); err != nil {
		return err
	}
	now := meta.Now()
	have.Status.Addresses = []core.NodeAddress{{Type: core.NodeInternalIP, Address: "127.0.0.1"}, {Type: core.NodeHostName, Address: *name}}
	have.Status.DaemonEndpoints.KubeletEndpoint.Port = int32(*port)
	have.Status.Conditions = []core.NodeCondition{{
		Type: core.NodeReady, Status: core.ConditionTrue, Reason: "Cluster", LastHeartbeatTime: now, LastTransitionTime: now,
	}}
	_, err = n.client.CoreV1().Nodes().UpdateStatus(ctx, have, meta.UpdateOptions{})
	return err
}

// renew keeps the node's lease, so that the node lifecycle controller leaves it and its pods alone.
func (n *node) renew() {
	leases := n.client.CoordinationV1().Leases(core.NamespaceNodeLease)
	seconds := int32(40)
	for ; ; time.Sleep(10 * time.Second) {
		now := meta.NowMicro()
		lease := &coordination.Lease{ObjectMeta: meta.ObjectMeta{Name: *name},
			Spec: coordination.LeaseSpec{HolderIdentity: name, LeaseDurationSeconds: &seconds, RenewTime: &now}}
		have, err := leases.Get(context.Background(), *name, meta.GetOptions{})
		if apierrors.IsNotFound(err) {
			_, err = leases.Create(context.Background(), lease, meta.CreateOptions{})
		} else if err == nil {
			have.Spec = lease.Spec
			_, err = leases.Update(context.Background(), have, meta.UpdateOptions{})
		}
		if err != nil {
			log.Print("lease: ", err)
		}
	}
}

// sync does to one pod what scheduler and kubelet would: bind it, call it running, remove it when it is to go.
func (n *node) sync(pod *core.Pod) {
	ctx, pods := context.Background(), n.client.CoreV1().Pods(pod.Namespace)
	var err error
	switch {
	case pod.DeletionTimestamp != nil:
		err = pods.Delete(ctx, pod.Name, *meta.NewDeleteOptions(0))
	case pod.Spec.NodeName == "":
		err = pods.Bind(ctx, &core.Binding{ObjectMeta: meta.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace, UID: pod.UID},
			Target: core.ObjectReference{Kind: "Node", Name: *name}}, meta.CreateOptions{})
	case pod.Spec.NodeName == *name && pod.Status.Phase == core.PodPending:
		pod = pod.DeepCopy()
		n.run(pod)
		_, err = pods.UpdateStatus(ctx, pod, meta.UpdateOptions{})
	}
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		log.Printf("%s/%s: %v", pod.Namespace, pod.Name, err)
	}
}

func (n *node) run(pod *core.Pod) {
	now, address := meta.Now(), pod.Annotations[addressAnnotation]
	if address == "" {
		n.mu.Lock()
		n.next++
		address = fmt.Sprintf("127.1.%d.%d", n.next/250, n.next%250)
		n.mu.Unlock()
	}
	pod.Status.Phase, pod.Status.StartTime = core.PodRunning, &now
	pod.Status.HostIP, pod.Status.PodIP, pod.Status.PodIPs = "127.0.0.1", address, []core.PodIP{{IP: address}}
	pod.Status.HostIPs = []core.HostIP{{IP: "127.0.0.1"}}
	for _, c := range []core.PodConditionType{core.PodScheduled, core.PodInitialized, core.ContainersReady, core.PodReady} {
		pod.Status.Conditions = append(pod.Status.Conditions, core.PodCondition{Type: c, Status: core.ConditionTrue, LastTransitionTime: now})
	}
	started := true
	for _, c := range pod.Spec.Containers {
		pod.Status.ContainerStatuses = append(pod.Status.ContainerStatuses, core.ContainerStatus{Name: c.Name, Image: c.Image, Ready: true,
			Started: &started, State: core.ContainerState{Running: &core.ContainerStateRunning{StartedAt: now}}})
	}
}

func (n *node) pod(r *http.Request) (*core.Pod, error) {
	o, found, err := n.pods.GetByKey(r.PathValue("namespace") + "/" + r.PathValue("pod"))
	if err == nil && !found {
		err = errors.New("pod does not exist")
	}
	if err != nil {
		return nil, err
	}
	return o.(*core.Pod), nil
}

func (n *node) serve() error {
	ca, err := os.ReadFile(*clientCA)
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	mux := http.NewServeMux()
	mux.HandleFunc("/portForward/{namespace}/{pod}", func(w http.ResponseWriter, r *http.Request) {
		pod, err := n.pod(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
			return
		}
		log.Printf("port-forward %s/%s over %q %q", pod.Namespace, pod.Name, r.Header.Get("Upgrade"), r.Header["X-Stream-Protocol-Version"])
		options, err := portforward.NewV4Options(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		portforward.ServePortForward(w, r, forwarder(pod.Status.PodIP), pod.Name, string(pod.UID), options, 4*time.Hour, 30*time.Second, portforward.SupportedProtocols)
	})
	mux.HandleFunc("/containerLogs/{namespace}/{pod}/{container}", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, filepath.Join(*logs, r.PathValue("namespace")+"_"+r.PathValue("pod")+"_"+r.PathValue("container")+".log"))
	})
	server := &http.Server{Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(*port)), Handler: mux,
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){}, // upgrades want HTTP/1.1
		TLSConfig:    &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}}
	return server.ListenAndServeTLS(*cert, *key)
}

// forwarder is a pod's address.
type forwarder string

func (f forwarder) PortForward(ctx context.Context, _, _ string, port int32, stream io.ReadWriteCloser) error {
	defer stream.Close()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(string(f), strconv.Itoa(int(port))))
	if err != nil {
		return err
	}
	defer conn.Close()
	go func() {
		io.Copy(conn, stream)
		conn.(*net.TCPConn).CloseWrite()
	}()
	_, err = io.Copy(stream, conn)
	return err
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
