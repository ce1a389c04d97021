// An app in Go: a gRPC server that knows nothing of the SDK, only the protos. For tests of the hub.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	pb "gopher/spokegate/v1"
)

type spoke struct {
	pb.UnimplementedSpokeServiceServer
}

// Run answers one call: one Start, any number of Asks, one Result.
func (spoke) Run(stream grpc.BidiStreamingServer[pb.RunRequest, pb.RunResponse]) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	start := first.GetStart()
	if start == nil {
		return errors.New("the first frame must be Start")
	}
	value, err := answer(stream, start)
	result := &pb.Result{Outcome: &pb.Result_Failure{Failure: &pb.Failure{Detail: fmt.Sprint(err)}}}
	if err == nil {
		text, err := json.Marshal(value)
		if err != nil {
			return err
		}
		result.Outcome = &pb.Result_ResultJson{ResultJson: string(text)}
	}
	return stream.Send(&pb.RunResponse{Frame: &pb.RunResponse_Result{Result: result}})
}

func answer(stream grpc.BidiStreamingServer[pb.RunRequest, pb.RunResponse], start *pb.Start) (any, error) {
	var arguments struct {
		Text, Function, Act, Target string
	}
	if err := json.Unmarshal([]byte(start.ArgumentsJson), &arguments); err != nil {
		return nil, err
	}
	switch start.Function {
	case "shout":
		return map[string]any{"text": arguments.Text + "!", "environment": os.Environ(), "words": os.Args}, nil
	case "pass_on":
		return passOn(stream, arguments.Function)
	case "attempt":
		return attempt(arguments.Act, arguments.Target), nil
	}
	return nil, fmt.Errorf("there is no function %s", start.Function)
}

func passOn(stream grpc.BidiStreamingServer[pb.RunRequest, pb.RunResponse], function string) (any, error) {
	ask := &pb.Ask{AskId: 1, Kind: &pb.Ask_Invoke{Invoke: &pb.InvokeAsk{Function: function, ArgumentsJson: "{}"}}}
	if err := stream.Send(&pb.RunResponse{Frame: &pb.RunResponse_Ask{Ask: ask}}); err != nil {
		return nil, err
	}
	reply, err := stream.Recv()
	if err != nil {
		return nil, err
	}
	if refusal := reply.GetRefusal(); refusal != nil {
		return map[string]any{"refused": refusal.Reason.String()}, nil
	}
	return map[string]any{"answered": json.RawMessage(reply.GetAnswer().GetInvoke().GetResultJson())}, nil
}

// attempt tries a hostile act and returns what stopped it.
func attempt(act, target string) string {
	var err error
	switch act {
	case "read":
		var file *os.File
		if file, err = os.Open(target); err == nil {
			_, err = io.ReadAll(file)
		}
	case "connect":
		_, err = net.DialTimeout("tcp", target, time.Second)
	case "dial":
		_, err = net.DialTimeout("unix", target, time.Second)
	case "execute":
		err = syscall.Exec(target, []string{target}, nil)
	case "start":
		var process *os.Process
		if process, err = os.StartProcess(target, []string{target}, &os.ProcAttr{}); err == nil {
			_, err = process.Wait()
		}
	case "write":
		err = os.WriteFile(target, []byte("x"), 0o600)
	case "signal":
		var pid int
		if _, err = fmt.Sscan(target, &pid); err == nil {
			err = syscall.Kill(pid, 0)
		}
	default:
		return "unknown act"
	}
	var number syscall.Errno
	switch {
	case err == nil:
		return "done"
	case errors.As(err, &number):
		return errno(number)
	}
	return err.Error()
}

func errno(number syscall.Errno) string {
	names := map[syscall.Errno]string{
		syscall.EPERM: "EPERM", syscall.EACCES: "EACCES", syscall.ENOENT: "ENOENT", syscall.ENOSYS: "ENOSYS",
		syscall.ESRCH: "ESRCH", syscall.EROFS: "EROFS",
	}
	if name, known := names[number]; known {
		return name
	}
	return number.Error()
}

func main() {
	listener, err := net.Listen("unix", os.Getenv("SPOKEGATE_SOCKET"))
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer()
	pb.RegisterSpokeServiceServer(server, spoke{})
	healthpb.RegisterHealthServer(server, health.NewServer())
	log.Fatal(server.Serve(listener))
}
