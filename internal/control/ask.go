package control

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
)

// Demote asks for POST /v1/demote, Promote for POST /v1/promote. Each line but
// the last goes to fn. The error says why the job has ended early; the totals
// hold nevertheless.
func (c *Client) Demote(ctx context.Context, m Move, fn func(Line)) (Totals, error) {
	return c.job(ctx, http.MethodPost, "/v1/demote", m, fn)
}

// Promote is Demote to the primary.
func (c *Client) Promote(ctx context.Context, m Move, fn func(Line)) (Totals, error) {
	return c.job(ctx, http.MethodPost, "/v1/promote", m, fn)
}

// Plan asks for GET /v1/plan.
func (c *Client) Plan(ctx context.Context, fn func(Line)) (Totals, error) {
	return c.job(ctx, http.MethodGet, "/v1/plan", struct{}{}, fn)
}

func (c *Client) job(ctx context.Context, method, path string, body any, fn func(Line)) (end Totals, err error) {
	done := ErrCutOff
	err = c.stream(ctx, method, path, body, func(text []byte) error {
		var l Line
		if err := json.Unmarshal(text, &l); err != nil {
			return c.strange(err)
		}
		if l.End == nil {
			fn(l)
			return nil
		}
		end, done = *l.End, asError(l.Error)
		return nil
	})
	if err == nil {
		err = done
	}
	return end, err
}

// Why asks for POST /v1/why.
func (c *Client) Why(path string) (v Verdict, err error) {
	body, err := json.Marshal(Why{Name(path)})
	if err != nil {
		return v, err
	}
	return v, c.call(statusTime, http.MethodPost, "/v1/why", body, &v)
}

// Check asks for POST /v1/check and hands each finding to fn.
func (c *Client) Check(ctx context.Context, r Check, fn func(Finding)) (end CheckEnd, err error) {
	done := ErrCutOff
	err = c.stream(ctx, http.MethodPost, "/v1/check", r, func(text []byte) error {
		var l CheckLine
		if err := json.Unmarshal(text, &l); err != nil {
			return c.strange(err)
		}
		if l.Finding != nil {
			fn(*l.Finding)
		}
		if l.End != nil {
			end, done = *l.End, asError(l.Error)
		}
		return nil
	})
	if err == nil {
		err = done
	}
	return end, err
}

func asError(text string) error {
	if text == "" {
		return nil
	}
	return errors.New(text)
}
