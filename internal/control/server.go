package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"
)

// Server answers on a daemon's socket.
type Server struct {
	http     http.Server
	listener net.Listener
	done     chan struct{}
}

// peerKey is the context key of the client's user.
type peerKey struct{}

// Serve starts to answer for d on l, which it owns from then on.
func Serve(l net.Listener, d Daemon, log *slog.Logger) *Server {
	s := &Server{listener: l, done: make(chan struct{})}
	s.http = http.Server{
		Handler:           onlyOwner(os.Geteuid(), routes(d)),
		ConnContext:       withPeer,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      time.Minute, // a remount may wait for a tier
		IdleTimeout:       30 * time.Second,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	go func() {
		defer close(s.done)
		if err := s.http.Serve(bound(l, os.Geteuid())); !errors.Is(err, http.ErrServerClosed) {
			log.Warn("control socket: gone, so that tierfs and remount cannot reach this mount any more; mount anew to have it back", "err", err)
		}
	}()
	return s
}

// Close removes the socket and ends the server. Requests under way are answered,
// as far as patience goes, and then cut off: the mount they speak of is gone.
func (s *Server) Close(patience time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_ = s.http.Shutdown(ctx)
	_ = s.http.Close()
	_ = s.listener.Close() // in case Serve had not taken it yet
	<-s.done
}

func withPeer(ctx context.Context, conn net.Conn) context.Context {
	uid := -1
	if cred, err := peer(conn); err == nil {
		uid = int(cred.Uid)
	}
	return context.WithValue(ctx, peerKey{}, uid)
}

// onlyOwner lets root and the daemon's own user in. The socket's mode keeps
// others out already; this holds when someone changes that.
func onlyOwner(own int, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		uid, ok := r.Context().Value(peerKey{}).(int)
		if !ok || !allowed(uid, own) {
			refuse(w, http.StatusForbidden, fmt.Errorf("user %d: not allowed; ask as root or as the user who mounted", uid))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// allowed says who may ask a daemon of own.
func allowed(uid, own int) bool { return uid == 0 || uid == own }

func answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body) // the client may have left
}

func refuse(w http.ResponseWriter, code int, err error) {
	answer(w, code, failure{err.Error()})
}
