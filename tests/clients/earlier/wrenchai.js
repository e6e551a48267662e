const source = new EventSource('/stream/sse');
source.addEventListener('update', (event) => {
    const { id, data, progress } = JSON.parse(event.data);
    console.log(id, data, progress);
});
