const eventSource = new EventSource('/sessions/session-id/stream?client_id=my-client');

eventSource.onmessage = function(event) {
    const data = JSON.parse(event.data);
    
    if (data._type === 'completion') {
        console.log('Stream completed:', data.status);
        eventSource.close();
        return;
    }
    
    switch (data.type) {
        case 'info':
            console.log('Info:', data.message);
            break;
        case 'data':
            console.log('Data:', data.message);
            break;
        case 'error':
            console.log('Error:', data.message);
            break;
    }
};

eventSource.onerror = function(event) {
    console.error('SSE Error:', event);
};
