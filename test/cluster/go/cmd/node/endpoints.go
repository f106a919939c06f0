package main

import (
	"context"
	"encoding/json"
	"hash/fnv"
	"log"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	etcd "go.etcd.io/etcd/client/v3"
	core "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

// writeEndpoints keeps an EndpointSlice for every service with a selector. The API server refuses loopback addresses in
// endpoints when they are written through it, but serves what is stored: so they go to etcd.
func (n *node) writeEndpoints(store *etcd.Client, shared informers.SharedInformerFactory) {
	services, pods := shared.Core().V1().Services(), shared.Core().V1().Pods()
	changed := make(chan struct{}, 1)
	note := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	handler := cache.ResourceEventHandlerFuncs{AddFunc: func(any) { note() }, UpdateFunc: func(_, _ any) { note() }, DeleteFunc: func(any) { note() }}
	services.Informer().AddEventHandler(handler)
	pods.Informer().AddEventHandler(handler)
	written := map[string]*discovery.EndpointSlice{}
	go func() {
		for range changed {
			wanted := map[string]*discovery.EndpointSlice{}
			all, _ := services.Lister().List(labels.Everything())
			for _, service := range all {
				if len(service.Spec.Selector) > 0 {
					selected, _ := pods.Lister().Pods(service.Namespace).List(labels.SelectorFromSet(service.Spec.Selector))
					for _, slice := range sliceOf(service, selected) {
						wanted["/registry/endpointslices/"+slice.Namespace+"/"+slice.Name] = slice
					}
				}
			}
			for key, slice := range wanted {
				if before := written[key]; before != nil {
					slice.UID, slice.CreationTimestamp = before.UID, before.CreationTimestamp
					if reflect.DeepEqual(before, slice) {
						continue
					}
				}
				value, err := json.Marshal(slice)
				if err == nil {
					_, err = store.Put(context.Background(), key, string(value))
				}
				if err != nil {
					log.Print("endpoints: ", err)
					continue
				}
				written[key] = slice
			}
			for key := range written {
				if wanted[key] == nil {
					if _, err := store.Delete(context.Background(), key); err == nil {
						delete(written, key)
					}
				}
			}
			time.Sleep(50 * time.Millisecond)
		}
	}()
}

// sliceOf gives a service's slices: pods that resolve a named target port differently are in different ones.
func sliceOf(service *core.Service, pods []*core.Pod) []*discovery.EndpointSlice {
	slices.SortFunc(pods, func(a, b *core.Pod) int { return strings.Compare(a.Name, b.Name) })
	byPorts := map[string]*discovery.EndpointSlice{}
	for _, pod := range pods {
		if pod.Status.PodIP == "" || pod.DeletionTimestamp != nil {
			continue
		}
		ports, key := portsOf(service, pod)
		slice := byPorts[key]
		if slice == nil {
			sum := fnv.New32a()
			sum.Write([]byte(key))
			slice = &discovery.EndpointSlice{
				TypeMeta: meta.TypeMeta{APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSlice"},
				ObjectMeta: meta.ObjectMeta{Namespace: service.Namespace, Name: service.Name + "-" + strconv.FormatUint(uint64(sum.Sum32()), 36),
					UID: uuid.NewUUID(), CreationTimestamp: meta.Now(),
					Labels:          map[string]string{discovery.LabelServiceName: service.Name, discovery.LabelManagedBy: "cluster.test"},
					OwnerReferences: []meta.OwnerReference{*meta.NewControllerRef(service, core.SchemeGroupVersion.WithKind("Service"))}},
				AddressType: discovery.AddressTypeIPv4,
				Ports:       ports,
			}
			byPorts[key] = slice
		}
		ready := slices.ContainsFunc(pod.Status.Conditions, func(c core.PodCondition) bool {
			return c.Type == core.PodReady && c.Status == core.ConditionTrue
		})
		terminating := false
		slice.Endpoints = append(slice.Endpoints, discovery.Endpoint{Addresses: []string{pod.Status.PodIP}, NodeName: name,
			Conditions: discovery.EndpointConditions{Ready: &ready, Serving: &ready, Terminating: &terminating},
			TargetRef:  &core.ObjectReference{Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID}})
	}
	result := []*discovery.EndpointSlice{}
	for _, slice := range byPorts {
		result = append(result, slice)
	}
	return result
}

func portsOf(service *core.Service, pod *core.Pod) ([]discovery.EndpointPort, string) {
	ports, key := []discovery.EndpointPort{}, ""
	for _, port := range service.Spec.Ports {
		number := port.TargetPort.IntVal
		if port.TargetPort.Type == intstr.String {
			for _, container := range pod.Spec.Containers {
				for _, named := range container.Ports {
					if named.Name == port.TargetPort.StrVal {
						number = named.ContainerPort
					}
				}
			}
		}
		if number == 0 {
			continue
		}
		ports = append(ports, discovery.EndpointPort{Name: &port.Name, Port: &number, Protocol: &port.Protocol, AppProtocol: port.AppProtocol})
		key += port.Name + "=" + strconv.Itoa(int(number)) + " "
	}
	return ports, key
}
