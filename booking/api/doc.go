// Package api serves ansim's HTTP/JSON interface for the clients that book for people: reservations, and the programmes they
// book in.
//
// Its routes and their OpenAPI 3.1 description (GET /openapi.json) are registered through huma. Bodies are read by a strict
// decoder of our own and not by huma's validation, for what people are owed when a body is wrong: every bad field at once,
// with what would be right; the position of a JSON error; duplicate keys refused; and nothing of what was sent repeated in
// the answer.
//
// Examples and the page of the documentation (GET /docs) are made from that description, so a new call needs no more than its
// route; testdata/openapi.json is the description as a file, and a test runs the curl example of every call.
//
// A request passes, in this order: API key (401), scope (403), Idempotency-Key (400), size and syntax (413, 422), and then
// package booking, whose errors become problem documents (RFC 9457) by the one table in problem.go. Problems are in English
// or, when Accept-Language asks for it, in Korean.
//
// The log gets a line a request with method, route pattern, status and duration. It never gets a path, a query, a header or
// a body, since names, numbers and codes might be in them.
package api
