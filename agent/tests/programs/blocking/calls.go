package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
	"unsafe"
)

// pulled is what newer versions of Go add: a call made inside of a coroutine.
var pulled []func() call

func calls() []func() call {
	return append([]func() call{
		nanosleep, rawNanosleep, lockedNanosleep, pipeRead, pipeWrite, flock, accept, udpReceive, epollWait, futex, openFifo, wait,
	}, pulled...)
}

func span() *syscall.Timespec {
	t := syscall.NsecToTimespec(hold.Nanoseconds())
	return &t
}

func nanosleep() call {
	return call{name: "nanosleep", fd: -1, once: func() (string, error) { return here(), syscall.Nanosleep(span(), nil) }}
}

// The scheduler is not told of this one: the thread keeps its processor.
func rawNanosleep() call {
	return call{name: "nanosleep", fd: -1, once: func() (string, error) { return here(), rawSleep(span()) }}
}

func rawSleep(t *syscall.Timespec) error {
	if _, _, errno := syscall.RawSyscall(syscall.SYS_NANOSLEEP, uintptr(unsafe.Pointer(t)), 0, 0); errno != 0 {
		return errno
	}
	return nil
}

func lockedNanosleep() call {
	return call{name: "nanosleep", fd: -1, once: func() (string, error) {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		return here(), syscall.Nanosleep(span(), nil)
	}}
}

func pipeRead() call {
	var ends [2]int
	check(syscall.Pipe(ends[:]))
	return call{name: "read", fileType: "pipe", fd: ends[0], once: func() (string, error) {
		later(func() { write(ends[1], make([]byte, 1)) })
		return here(), read(ends[0], make([]byte, 1))
	}}
}

func pipeWrite() call {
	var ends [2]int
	check(syscall.Pipe(ends[:]))
	const capacity = 1 << 16
	write(ends[1], make([]byte, capacity))
	return call{name: "write", fileType: "pipe", fd: ends[1], once: func() (string, error) {
		later(func() { check(read(ends[0], make([]byte, capacity))) })
		return here(), write(ends[1], make([]byte, capacity))
	}}
}

func read(fd int, into []byte) error {
	_, err := syscall.Read(fd, into)
	return err
}

func write(fd int, from []byte) error {
	_, err := syscall.Write(fd, from)
	return err
}

func flock() call {
	path := filepath.Join(directory(), "locked")
	holder, err := syscall.Open(path, syscall.O_CREAT|syscall.O_RDWR, 0o600)
	check(err)
	waiter, err := syscall.Open(path, syscall.O_RDWR, 0)
	check(err)
	return call{name: "flock", fileType: "file", fd: waiter, once: func() (string, error) {
		check(syscall.Flock(waiter, syscall.LOCK_UN))
		check(syscall.Flock(holder, syscall.LOCK_EX))
		later(func() { check(syscall.Flock(holder, syscall.LOCK_UN)) })
		return here(), syscall.Flock(waiter, syscall.LOCK_EX)
	}}
}

func accept() call {
	listener, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	check(err)
	port := bind(listener)
	check(syscall.Listen(listener, 8))
	return call{
		name: "accept4", fileType: "tcp", fd: listener, local: fmt.Sprintf("127.0.0.1:%d", port), peer: "0.0.0.0:0",
		once: func() (string, error) {
			later(func() {
				near, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
				check(err)
				check(syscall.Connect(near, &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}))
				check(syscall.Close(near))
			})
			return here(), acceptOne(listener)
		},
	}
}

func acceptOne(listener int) error {
	far, _, err := syscall.Accept4(listener, 0)
	if err != nil {
		return err
	}
	return syscall.Close(far)
}

func udpReceive() call {
	near, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
	check(err)
	port := bind(near)
	return call{
		name: "recvfrom", fileType: "udp", fd: near, local: fmt.Sprintf("127.0.0.1:%d", port), peer: "0.0.0.0:0",
		once: func() (string, error) {
			later(func() {
				to := &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}
				check(syscall.Sendto(near, make([]byte, 1), 0, to))
			})
			return here(), receive(near)
		},
	}
}

func receive(fd int) error {
	_, _, err := syscall.Recvfrom(fd, make([]byte, 1), 0)
	return err
}

func bind(fd int) (port int) {
	check(syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	name, err := syscall.Getsockname(fd)
	check(err)
	return name.(*syscall.SockaddrInet4).Port
}

func epollWait() call {
	epoll, err := syscall.EpollCreate1(0)
	check(err)
	return call{name: "epoll_wait", fileType: "epoll", fd: epoll, once: func() (string, error) { return here(), pollOnce(epoll) }}
}

func pollOnce(epoll int) error {
	_, err := syscall.EpollWait(epoll, make([]syscall.EpollEvent, 1), int(hold.Milliseconds()))
	return err
}

func futex() call {
	word := new(uint32)
	return call{name: "futex", address: uintptr(unsafe.Pointer(word)), fd: -1, once: func() (string, error) { return here(), waitOn(word) }}
}

func waitOn(word *uint32) error {
	const wait = 0
	at, t := unsafe.Pointer(word), unsafe.Pointer(span())
	if _, _, errno := syscall.Syscall6(syscall.SYS_FUTEX, uintptr(at), wait, 0, uintptr(t), 0, 0); errno != syscall.ETIMEDOUT {
		return errno
	}
	return nil
}

func openFifo() call {
	path := filepath.Join(directory(), "fifo")
	check(syscall.Mkfifo(path, 0o600))
	return call{name: "openat", fd: -1, once: func() (string, error) {
		closed := make(chan struct{})
		later(func() {
			writer, err := syscall.Open(path, syscall.O_WRONLY, 0)
			check(err)
			check(syscall.Close(writer))
			close(closed)
		})
		// The next round's call would find the writer still there.
		defer func() { <-closed }()
		return here(), openOnce(path)
	}}
}

func openOnce(path string) error {
	reader, err := syscall.Open(path, syscall.O_RDONLY, 0)
	if err != nil {
		return err
	}
	return syscall.Close(reader)
}

func wait() call {
	return call{name: "wait4", fd: -1, once: func() (string, error) {
		attributes := &os.ProcAttr{Files: []*os.File{nil, nil, nil}}
		child, err := os.StartProcess("/bin/sleep", []string{"sleep", "0.05"}, attributes)
		check(err)
		return here(), waitFor(child.Pid)
	}}
}

func waitFor(pid int) error {
	_, err := syscall.Wait4(pid, nil, 0, nil)
	return err
}

// later runs f on another goroutine once this one's call has waited a while.
func later(f func()) {
	go func() {
		time.Sleep(hold)
		f()
	}()
}

func directory() string {
	path, err := os.MkdirTemp("", "blocking")
	check(err)
	return path
}
