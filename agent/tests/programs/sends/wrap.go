package main

import (
	"io"
	"net"
	"os"
	"syscall"
	"unsafe"
)

// Options of TCP that package syscall does not have (include/uapi/linux/tcp.h).
const (
	tcpRepair        = 19
	tcpRepairQueue   = 20
	tcpQueueSeq      = 21
	tcpRepairOptions = 22
	tcpRepairWindow  = 29
	receiveQueue     = 1
	sendQueue        = 2
)

// before is how far from the wrap the numbers begin.
const before = 50_500

// wrap connects two sockets without a handshake, since only so the first sequence number can be chosen: TCP_REPAIR is meant
// for connections that move from one machine to another.
func wrap() {
	var ports [2]int
	first := [2]int{1<<32 - before, 1_000}
	var ends [2]net.Conn
	var sockets [2]int
	for i := range sockets {
		sockets[i], ports[i] = repaired(first[i], first[1-i])
	}
	for i, socket := range sockets {
		check(syscall.Connect(socket, loopback(ports[1-i])))
	}
	for i, socket := range sockets {
		setHandshake(socket, first[1-i])
		set(socket, tcpRepair, 0)
		ends[i] = connOf(socket)
	}
	go func() {
		_, _ = io.Copy(struct{ io.Writer }{ends[1]}, struct{ io.Reader }{ends[1]})
		ends[1].Close()
	}()
	rounds(ends[0], ends[0], 100, 1_000)
	ends[0].Close()
}

// repaired is a socket in repair, and its port, that sends and receives from these sequence numbers on.
func repaired(send, receive int) (int, int) {
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	check(err)
	check(syscall.Bind(socket, loopback(0)))
	set(socket, tcpRepair, 1)
	set(socket, tcpRepairQueue, sendQueue)
	set(socket, tcpQueueSeq, send)
	set(socket, tcpRepairQueue, receiveQueue)
	set(socket, tcpQueueSeq, receive)
	name, err := syscall.Getsockname(socket)
	check(err)
	return socket, name.(*syscall.SockaddrInet4).Port
}

// setHandshake tells what a handshake would have: how much each end takes, and in which unit it says so.
func setHandshake(socket, receive int) {
	const all, scale, windowOption = 65_535, 7, 3
	window := [5]uint32{uint32(receive), all, all, all, uint32(receive)}
	option := [2]uint32{windowOption, scale | scale<<16}
	setBytes(socket, tcpRepairWindow, unsafe.Pointer(&window), unsafe.Sizeof(window))
	setBytes(socket, tcpRepairOptions, unsafe.Pointer(&option), unsafe.Sizeof(option))
}

func setBytes(socket, option int, value unsafe.Pointer, size uintptr) {
	_, _, errno := syscall.Syscall6(syscall.SYS_SETSOCKOPT, uintptr(socket), syscall.IPPROTO_TCP, uintptr(option), uintptr(value), size, 0)
	if errno != 0 {
		panic(errno)
	}
}

func connOf(socket int) net.Conn {
	file := os.NewFile(uintptr(socket), "repaired")
	defer file.Close()
	c, err := net.FileConn(file)
	check(err)
	return c
}

func loopback(port int) syscall.Sockaddr {
	return &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}
}

func set(socket, option, value int) {
	check(syscall.SetsockoptInt(socket, syscall.IPPROTO_TCP, option, value))
}
