package dbtest

import "os"

// Launch starts a server for a program that is no test. The function that it returns ends it and removes its folder.
func Launch() (*Server, func(), error) { return LaunchIn("") }

// LaunchIn is Launch with the server's data below a folder that the user postgres can enter.
func LaunchIn(parent string) (*Server, func(), error) {
	removeLeftovers()
	s, err := newServer(parent)
	if err != nil {
		return nil, nil, err
	}
	end := func() { s.Kill(); _ = os.RemoveAll(s.dir) }
	if err := s.Start(); err != nil {
		end()
		return nil, nil, err
	}
	return s, end, nil
}
