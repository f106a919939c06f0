// A gRPC application without a sidecar, in grpc-go: the counterpart of test/fixtures/grpc-peers/peer.mjs.
//
//	grpc-peer server PORT...     serves on each port
//	grpc-peer client TARGET...   holds a channel to each target; a line of stdin with a number makes a call on that one
//
// Prints a line of JSON per event.
package main

import (
	"bufio"
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	xdscreds "google.golang.org/grpc/credentials/xds"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/xds"
)

const method = "/peers.Peers/Who"

// certificate is what one side was shown.
type certificate struct {
	Name   string `json:"name"`
	Serial string `json:"serial"`
}

type answer struct {
	Port   int          `json:"port,omitempty"`
	Client *certificate `json:"client,omitempty"`
	Server *certificate `json:"server,omitempty"`
	Error  string       `json:"error,omitempty"`
}

// jsonCodec writes messages as JSON, under the name that grpc-js has for its own.
type jsonCodec struct{}

func (jsonCodec) Marshal(v any) ([]byte, error)      { return json.Marshal(v) }
func (jsonCodec) Unmarshal(data []byte, v any) error { return json.Unmarshal(data, v) }
func (jsonCodec) Name() string                       { return "proto" }

func main() {
	switch role, rest := os.Args[1], os.Args[2:]; role {
	case "server":
		serve(rest)
	case "client":
		ask(rest)
	}
}

func serve(ports []string) {
	creds, err := xdscreds.NewServerCredentials(xdscreds.ServerOptions{FallbackCreds: insecure.NewCredentials()})
	must(err)
	for _, text := range ports {
		port, err := strconv.Atoi(text)
		must(err)
		serving := make(chan struct{}, 1)
		server, err := xds.NewGRPCServer(grpc.Creds(creds), grpc.ForceServerCodec(jsonCodec{}),
			xds.ServingModeCallback(func(_ net.Addr, args xds.ServingModeChangeArgs) {
				if args.Err != nil {
					fmt.Fprintln(os.Stderr, args.Mode, args.Err)
					return
				}
				select {
				case serving <- struct{}{}:
				default:
				}
			}))
		must(err)
		handler := func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			var nothing struct{}
			if err := decode(&nothing); err != nil {
				return nil, err
			}
			from, _ := peer.FromContext(ctx)
			return answer{Port: port, Client: shown(from)}, nil
		}
		server.RegisterService(&grpc.ServiceDesc{ServiceName: "peers.Peers", HandlerType: (*any)(nil),
			Methods: []grpc.MethodDesc{{MethodName: "Who", Handler: handler}}}, struct{}{})
		listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", text))
		must(err)
		go func() { must(server.Serve(listener)) }()
		<-serving
		report(map[string]int{"serving": port})
	}
	select {}
}

func ask(targets []string) {
	creds, err := xdscreds.NewClientCredentials(xdscreds.ClientOptions{FallbackCreds: insecure.NewCredentials()})
	must(err)
	channels := make([]*grpc.ClientConn, len(targets))
	for i, target := range targets {
		channels[i], err = grpc.NewClient(target, grpc.WithTransportCredentials(creds))
		must(err)
		channels[i].Connect()
	}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		at, _ := strconv.Atoi(lines.Text())
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		var got answer
		from := &peer.Peer{}
		if err := channels[at].Invoke(ctx, method, struct{}{}, &got, grpc.ForceCodec(jsonCodec{}), grpc.Peer(from)); err != nil {
			got.Error = err.Error()
		} else {
			got.Server = shown(from)
		}
		cancel()
		report(got)
	}
}

func shown(from *peer.Peer) *certificate {
	info, ok := from.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.PeerCertificates) == 0 {
		return &certificate{Name: "none", Serial: "none"}
	}
	return &certificate{Name: uri(info.State.PeerCertificates[0]), Serial: info.State.PeerCertificates[0].SerialNumber.Text(16)}
}

func uri(leaf *x509.Certificate) string {
	if len(leaf.URIs) != 1 {
		return fmt.Sprint(leaf.URIs)
	}
	return "URI:" + leaf.URIs[0].String()
}

func report(line any) {
	text, err := json.Marshal(line)
	must(err)
	fmt.Println(string(text))
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
