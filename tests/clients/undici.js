// Follows a run as lines of JSON with `fetch`, which in Node.js is undici, and prints each as it comes.

const response = await fetch(process.argv[2], { headers: { accept: 'application/x-ndjson' } });
let rest = '';
for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
  const lines = (rest + piece).split('\n');
  rest = lines.pop();
  for (const line of lines.filter(Boolean)) process.stdout.write(`${line}\n`);
}
