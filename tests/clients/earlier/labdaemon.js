// After starting the task, get its stream
const taskStream = new EventSource(
    `http://localhost:5000/stream/devices/stream-${taskId}`
);

taskStream.addEventListener('device_data', (e) => {
    const update = JSON.parse(e.data);
    console.log(`Progress: ${update.progress_percent.toFixed(1)}%`);
    console.log(`Message: ${update.message}`);
    
    // Update progress bar
    progressBar.value = update.progress_percent;
});
