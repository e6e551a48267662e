// How a function becomes a task, and how it ends.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Cancelled, Failure, HostError, parse, task } from 'streamtask-sdk';
import { Recording } from 'streamtask-sdk/testing';

import { toFailure } from '../src/errors.js';

const INPUT = {
  type: 'object',
  properties: { count: { type: 'integer', minimum: 0 }, name: { type: 'string', default: 'nobody' } },
  required: ['count'],
};

test('a task describes itself with its schemas', () => {
  const { describe } = task({ description: 'Counts.', input: INPUT, output: true }, () => {});
  assert.deepEqual(JSON.parse(describe()), { description: 'Counts.', input_schema: INPUT, output_schema: true });
  assert.equal(task(() => {}).describe(), '{}');
});

test('a task without a function is a mistake that is told when it is built', () => {
  assert.throws(() => task({ description: 'Nothing.' }), /a function is missing/);
});

test('the input is checked, and gets the defaults of its schema', async () => {
  const echo = task({ input: INPUT }, (_, input) => input);
  assert.deepEqual(await new Recording().start(echo, { count: 2 }), { count: 2, name: 'nobody' });
  await assert.rejects(new Recording().start(echo, { count: 1.5 }), { code: 'invalid-input', message: /count.*integer/ });
});

test('no result is null', async () => {
  assert.equal(await new Recording().start(task(() => {})), null);
});

test('a bug is a failure with its stack in the log; a failure that was meant is not', async () => {
  const recording = new Recording();
  await assert.rejects(recording.start(task(() => { throw new RangeError('boom'); })), /boom/);
  const [{ level, message }] = recording.data('log');
  assert.equal(level, 'error');
  assert.match(message, /RangeError: boom\n.*task\.test\.js/);
  const meant = new Recording();
  await assert.rejects(meant.start(task(() => { throw new Failure('no'); })), Failure);
  assert.deepEqual(meant.events, []);
});

test('a want of memory is no failure of the contract, but a trap with words that the host knows', async (t) => {
  const printed = t.mock.method(console, 'error', () => {});
  const greedy = task(() => { throw 'out of memory'; });
  await assert.rejects(greedy.process('{}'), (thrown) => thrown === 'out of memory');
  assert.match(printed.mock.calls[0].arguments[0], /^fatal error: out of memory/);
  const other = task(() => { throw 'out of luck'; });
  await assert.rejects(other.process('{}'), ({ payload }) => payload.message === 'out of luck');
});

test('what is thrown becomes a failure of the contract', () => {
  const details = { a: 1 };
  assert.deepEqual(toFailure(new Failure('busy', { code: 'rate-limited', details, retryAfter: 1500.2 })), {
    message: 'busy', code: 'rate-limited', details: '{"a":1}', retryable: true, retryAfterMs: 1501,
  });
  const plain = { code: undefined, details: undefined, retryable: false };
  const cause = new Error('outer', { cause: new Error('middle', { cause: 'inner' }) });
  assert.deepEqual(toFailure(cause), { message: 'outer: middle: inner', ...plain });
  assert.deepEqual(toFailure('text'), { message: 'text', ...plain });
  assert.deepEqual(toFailure(undefined), { message: 'undefined', ...plain });
  assert.deepEqual(toFailure(new Cancelled()), { message: 'the run was cancelled', ...plain, code: 'cancelled' });
  assert.deepEqual(toFailure(new HostError('unavailable', 'later')), {
    message: 'later', ...plain, code: 'unavailable', retryable: true,
  });
  const circular = {};
  circular.self = circular;
  assert.match(toFailure(new Failure('x', { details: circular })).details, /circular/);
  assert.match(toFailure(circular).message, /no text/);
});

test('an input that does not fit names every place and reason', () => {
  const schema = {
    type: 'object',
    properties: {
      kind: { enum: ['a', 'b'] },
      tags: { type: 'array', items: { type: 'string', maxLength: 3 }, maxItems: 2 },
      when: { anyOf: [{ type: 'null' }, { type: 'string', pattern: '^\\d+$' }] },
      'a/b': { type: 'number', exclusiveMinimum: 0 },
    },
    required: ['kind'],
    additionalProperties: false,
  };
  assert.deepEqual(parse(schema, { kind: 'a', tags: ['x', '𝒳𝒳𝒳'], when: '12' }).when, '12');
  assert.throws(() => parse(schema, { tags: ['long!', 1, 'x'], when: 'x', 'a/b': 0, more: 1 }), ({ code, details }) => {
    assert.equal(code, 'invalid-input');
    assert.deepEqual(details.errors.map(({ pointer }) => pointer), ['/tags', '/tags/0', '/tags/1', '/when', '/a~1b', '/more', '/kind']);
    return true;
  });
});

test('what of JSON Schema is not known here is let through', () => {
  assert.equal(parse({ $ref: '#/somewhere', format: 'uri' }, 'x'), 'x');
});

test('defaults are not shared between runs', () => {
  const schema = { type: 'object', properties: { list: { type: 'array', default: [] } } };
  parse(schema, {}).list.push(1);
  assert.deepEqual(parse(schema, {}).list, []);
});

test('a key of an input that means something to JavaScript is only a key', () => {
  const input = JSON.parse('{"__proto__":{"x":1},"constructor":2}');
  const parsed = parse({ type: 'object', properties: { n: { default: 1 } } }, input);
  assert.equal(parsed.x, undefined);
  assert.equal(Object.hasOwn(parsed, '__proto__'), true);
});
