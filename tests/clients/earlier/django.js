const eventSource = new EventSource('/stream/app_name/MyTask/1');
eventSource.addEventListener('progress', (e) => {
    const data = JSON.parse(e.data);
    console.log(data);
});
