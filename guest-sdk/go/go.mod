module github.com/streamtask/streamtask/guest-sdk/go

go 1.21
