package main

import (
	"testing"

	"github.com/streamtask/streamtask/guest-sdk/go/streamtasktest"
)

func TestGreetsEveryone(t *testing.T) {
	host := streamtasktest.New()
	out, err := greet(host.Context(), Input{Names: []string{"Ada", "Alan"}})
	if err != nil || out.Greeted != 2 {
		t.Fatal(out, err)
	}
	if said := host.Data("greeting"); len(said) != 2 || said[0] != `"Hello, Ada!"` {
		t.Fatal(said)
	}
}
