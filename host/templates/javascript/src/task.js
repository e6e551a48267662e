import { task } from 'streamtask-sdk';

const input = {
  type: 'object',
  properties: { names: { type: 'array', items: { type: 'string' }, default: [] } },
  additionalProperties: false,
};

export default task({ description: 'Greets everyone.', input }, async (ctx, { names }) => {
  for (const [nth, name] of names.entries()) {
    ctx.send('greeting', `Hello, ${name}!`);
    ctx.progress({ step: nth + 1, total: names.length, message: name });
    await ctx.sleep(200);
  }
  return { greeted: names.length };
});
