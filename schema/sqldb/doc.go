// Package sqldb opens ansim's database and is the only code that knows which one it is.
//
// Everything else writes each statement once, with ? for parameters, in the SQL that PostgreSQL 15 and SQLite share
// (ON CONFLICT, RETURNING, common table expressions, UPDATE … FROM). What differs is asked of a [Tx]: row locks
// ([Tx.ForUpdate] and its kin), the time ([Tx.Now]), the rows of a batch ([Tx.Source]).
//
// Times are UTC with microseconds and sort alike in both databases; see [Time].
package sqldb
