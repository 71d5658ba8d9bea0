package cookbook

import (
	"bytes"
	"crypto/md5"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// objectStore keeps objects in memory and speaks as much of S3 as rclone says:
// listing with a delimiter, GET, HEAD, PUT, copies on the server, DELETE. Like
// others of its kind it has no directories, and cannot rename.
type objectStore struct {
	stop func()

	mu      sync.Mutex
	objects map[string]*object // GUARDED_BY(mu): by bucket/key
}

type object struct {
	content []byte
	meta    http.Header // what clients store beside it, x-amz-meta-*
	at      time.Time
}

// metaPrefix is what the headers begin with that are kept.
const metaPrefix = "X-Amz-Meta-"

// serve answers at port 9000 of this machine, until stop.
func (s *objectStore) serve(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:9000")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: s}
	s.stop = func() { server.Close() }
	go server.Serve(l)
}

// keys are those of all objects, with their bucket.
func (s *objectStore) keys() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.objects))
}

func (s *objectStore) content(key string) (text string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.objects[key]; o != nil {
		return string(o.content), true
	}
	return "", false
}

func (s *objectStore) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := strings.Trim(r.URL.Path, "/")
	bucket, name, _ := strings.Cut(key, "/")
	o := s.objects[key]
	switch { // a bucket is there at once
	case name == "" && r.Method == http.MethodGet:
		s.list(w, bucket, r.URL.Query())
	case name == "":
	case r.Method == http.MethodPut:
		s.put(w, r, key)
	case r.Method == http.MethodDelete:
		delete(s.objects, key)
		w.WriteHeader(http.StatusNoContent)
	case o == nil:
		http.Error(w, "", http.StatusNotFound)
	default:
		maps.Copy(w.Header(), o.meta)
		w.Header().Set("ETag", o.etag())
		w.Header().Set("Content-Type", "application/octet-stream")
		http.ServeContent(w, r, "", o.at, bytes.NewReader(o.content))
	}
}

func (o *object) etag() string { return fmt.Sprintf("%q", fmt.Sprintf("%x", md5.Sum(o.content))) }

// put stores what is sent, or a copy of another object.
func (s *objectStore) put(w http.ResponseWriter, r *http.Request, key string) {
	o := &object{at: time.Now(), meta: http.Header{}}
	for name, values := range r.Header {
		if strings.HasPrefix(name, metaPrefix) {
			o.meta[name] = values
		}
	}
	of, _ := url.PathUnescape(r.Header.Get("X-Amz-Copy-Source"))
	if of == "" {
		var err error
		if o.content, err = io.ReadAll(r.Body); err != nil {
			return
		}
		s.objects[key] = o
		w.Header().Set("ETag", o.etag())
		return
	}
	from := s.objects[strings.Trim(of, "/")]
	if from == nil {
		http.Error(w, "", http.StatusNotFound)
		return
	}
	o.content = from.content
	if r.Header.Get("X-Amz-Metadata-Directive") != "REPLACE" {
		o.meta = from.meta
	}
	s.objects[key] = o
	answer(w, struct {
		XMLName      xml.Name `xml:"CopyObjectResult"`
		ETag         string
		LastModified time.Time
	}{ETag: o.etag(), LastModified: o.at.UTC()})
}

type listing struct {
	XMLName        xml.Name `xml:"ListBucketResult"`
	Name, Prefix   string
	IsTruncated    bool
	EncodingType   string
	Contents       []listed
	CommonPrefixes []struct{ Prefix string }
}

type listed struct {
	Key, ETag    string
	LastModified time.Time
	Size         int
}

func (s *objectStore) list(w http.ResponseWriter, bucket string, query url.Values) {
	prefix, delimiter := query.Get("prefix"), query.Get("delimiter")
	encode := func(name string) string { return name }
	if query.Get("encoding-type") == "url" {
		encode = url.QueryEscape
	}
	l := listing{Name: bucket, Prefix: prefix, EncodingType: query.Get("encoding-type")}
	last := ""
	for _, key := range slices.Sorted(maps.Keys(s.objects)) {
		name, ok := strings.CutPrefix(key, bucket+"/")
		if !ok || !strings.HasPrefix(name, prefix) {
			continue
		}
		if dir, _, cut := strings.Cut(name[len(prefix):], delimiter); cut && delimiter != "" {
			if dir = prefix + dir + delimiter; dir != last {
				l.CommonPrefixes = append(l.CommonPrefixes, struct{ Prefix string }{encode(dir)})
			}
			last = dir
			continue
		}
		o := s.objects[key]
		l.Contents = append(l.Contents, listed{encode(name), o.etag(), o.at.UTC(), len(o.content)})
	}
	answer(w, l)
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/xml")
	io.WriteString(w, xml.Header)
	xml.NewEncoder(w).Encode(v)
}
