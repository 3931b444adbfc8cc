package main

import (
	"fmt"
	"syscall"
)

// mountSmall makes dir a file system in memory that holds so much and no more.
func mountSmall(dir string, megabytes int) error {
	return syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", megabytes))
}

func unmount(dir string) error { return syscall.Unmount(dir, syscall.MNT_DETACH) }
