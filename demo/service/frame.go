package main

import (
	"encoding/binary"
	"io"
)

// frame is the whole protocol: a request and its reply are both one frame of 16 bytes, little endian.
type frame struct {
	// id names the request; it stays the same along the chain.
	id uint64
	// hop counts the calls along the chain, from 1.
	hop uint32
	// value is the item asked for, or its price in the reply.
	value uint32
}

const frameSize = 16

func (f frame) writeTo(w io.Writer) error {
	var b [frameSize]byte
	binary.LittleEndian.PutUint64(b[0:], f.id)
	binary.LittleEndian.PutUint32(b[8:], f.hop)
	binary.LittleEndian.PutUint32(b[12:], f.value)
	_, err := w.Write(b[:])
	return err
}

func readFrame(r io.Reader) (frame, error) {
	var b [frameSize]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return frame{}, err
	}
	return frame{
		id:    binary.LittleEndian.Uint64(b[0:]),
		hop:   binary.LittleEndian.Uint32(b[8:]),
		value: binary.LittleEndian.Uint32(b[12:]),
	}, nil
}
