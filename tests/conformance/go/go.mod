module conformance

go 1.21

require github.com/streamtask/streamtask/guest-sdk/go v0.0.0

replace github.com/streamtask/streamtask/guest-sdk/go => ../../../guest-sdk/go
