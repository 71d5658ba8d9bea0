package control

import (
	"context"
	"net/http"
)

func routes(d Daemon) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, d.Status())
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", metricsType)
		_ = writeMetrics(w, d.Status()) // the client may have left
	})
	mux.HandleFunc("POST /v1/remount", taking(d.Remount))
	mux.HandleFunc("POST /v1/why", func(w http.ResponseWriter, r *http.Request) {
		req, ok := request[Why](w, r)
		if !ok {
			return
		}
		v, err := d.Why(r.Context(), string(req.Path))
		if err != nil {
			refuse(w, http.StatusConflict, err)
			return
		}
		answer(w, http.StatusOK, v)
	})
	mux.HandleFunc("POST /v1/demote", moving(d, false))
	mux.HandleFunc("POST /v1/promote", moving(d, true))
	mux.HandleFunc("GET /v1/plan", func(w http.ResponseWriter, r *http.Request) {
		ctx, out := begin(w, r)
		defer out.end()
		end, err := d.Plan(ctx, func(f File) { out.put(Line{File: &f}) })
		out.put(Line{End: &end, Error: ended(ctx, err)})
	})
	mux.HandleFunc("POST /v1/check", checking(d))
	return mux
}

// taking is a handler for fn, which takes a body and gives nothing back.
func taking[T any](fn func(T) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		req, ok := request[T](w, r)
		if !ok {
			return
		}
		if err := fn(req); err != nil {
			refuse(w, http.StatusConflict, err)
			return
		}
		answer(w, http.StatusOK, struct{}{})
	}
}

func moving(d Daemon, up bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		req, ok := request[Move](w, r)
		if !ok {
			return
		}
		ctx, out := begin(w, r)
		defer out.end()
		end, err := d.Move(ctx, up, req, Watch{
			Begin:   func(t Totals) { out.put(Line{Begin: &t}) },
			File:    func(f File) { out.put(Line{File: &f}) },
			Copying: func(bytes int64) { out.put(Line{Copied: bytes}) },
		})
		out.put(Line{End: &end, Error: ended(ctx, err)})
	}
}

func checking(d Daemon) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		req, ok := request[Check](w, r)
		if !ok {
			return
		}
		ctx, out := begin(w, r)
		defer out.end()
		end, err := d.Check(ctx, req, func(f Finding) { out.put(CheckLine{Finding: &f}) })
		out.put(CheckLine{End: &end, Error: ended(ctx, err)})
	}
}

// ended is the text of a job's error. A client that has ended it knows.
func ended(ctx context.Context, err error) string {
	if ctx.Err() != nil {
		return ""
	}
	return textOf(err)
}

func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
