import assert from 'node:assert/strict';
import test from 'node:test';

import { Recording } from 'streamtask-sdk/testing';

import greet from '../src/task.ts';

test('greets everyone', async () => {
  const host = new Recording();
  assert.deepEqual(await host.start(greet, { names: ['Ada', 'Alan'] }), { greeted: 2 });
  assert.deepEqual(host.data('greeting'), ['Hello, Ada!', 'Hello, Alan!']);
});
