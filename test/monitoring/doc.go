// Package monitoring holds what is shipped for Prometheus and Grafana against the figures of a live ansim: it has tests alone, and is
// run by `go test ./...` in this folder. See cmd/app/monitoring.
package monitoring
