// What progress events say together.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Progress } from '../streamtask.js';

/** As in the host. */
const MAX_ITEMS = 1000;

function progressOf(...events) {
  const progress = new Progress();
  for (const event of events) progress.update(event);
  return progress;
}

test('plain steps are the progress of the run as a whole', () => {
  const progress = progressOf({ step: 1, total: 4, message: 'a' }, { step: 3, total: 4 });
  assert.equal(progress.fraction(), 0.75);
  assert.deepEqual(progress.items.get(''), { id: '', status: 'running', done: 3, total: 4, message: 'a' });
});

test('what an event leaves out stays, and parents are as far as their parts by weight', () => {
  const progress = progressOf(
    { id: 'all', message: 'All' },
    { id: 'read', parent: 'all', weight: 1, done: 0, total: 10 },
    { id: 'write', parent: 'all', weight: 3, status: 'waiting' },
    { id: 'read', done: 5 },
  );
  assert.deepEqual(['read', 'write', 'all', 'none', undefined].map((id) => progress.fraction(id)), [0.5, undefined, 0.125, undefined, 0.125]);
  const { roots } = progress.tree();
  assert.deepEqual(roots.map(({ item, parts }) => [item.id, parts.map((part) => part.item.id)]), [['all', ['read', 'write']]]);
  progress.update({ id: 'read', status: 'completed' });
  assert.equal(progress.fraction(), 0.25);
});

test('the end of a run closes what is open', () => {
  const events = [{ id: 'a', percent: 16 }, { id: 'b', status: 'waiting' }, { id: 'c', status: 'skipped' }];
  for (const [status, fraction] of [['completed', 1], ['failed', 0.16], ['cancelled', 0.16]]) {
    const progress = progressOf(...events);
    progress.close(status);
    assert.deepEqual([...progress.items.values()].map((item) => item.status), [status, status, 'skipped']);
    assert.equal(progress.fraction('a'), fraction);
  }
  const open = progressOf(...events);
  open.close('running');
  assert.equal(open.items.get('a').status, 'running');
});

test('what the run says of itself counts more than its parts', () => {
  assert.equal(progressOf({ percent: 10 }, { id: 'a', percent: 90 }).fraction(), 0.1);
  assert.equal(progressOf({ id: 'a', percent: 90 }, { id: 'b', parent: 'a', percent: 0 }).fraction('a'), 0.9);
});

test('what was skipped counts as done, and what failed as far as it came', () => {
  assert.equal(progressOf({ id: 'a', status: 'skipped' }, { id: 'b', status: 'failed', percent: 50 }).fraction(), 0.75);
});

test('a parent that is heard of later is one from then on', () => {
  const progress = progressOf({ id: 'part', parent: 'later', percent: 50 });
  assert.equal(progress.tree().roots[0].item.id, 'part');
  progress.update({ id: 'later' });
  assert.deepEqual(progress.tree().roots.map(({ item }) => item.id), ['later']);
});

test('circles of parents are cut, and what hangs on them stays there', () => {
  const progress = progressOf({ id: 'a', parent: 'b' }, { id: 'b', parent: 'a' }, { id: 'c', parent: 'c', percent: 50 }, { id: 'd', parent: 'a', percent: 50 });
  const { roots, fraction } = progress.tree();
  assert.deepEqual(roots.map(({ item, parts }) => [item.id, parts.map((part) => part.item.id)]), [['a', ['d']], ['b', []], ['c', []]]);
  assert.equal(fraction, 1 / 3);
});

test('a flood of items and a deep tree do no harm', () => {
  const flood = new Progress();
  for (let nth = 0; nth < 2 * MAX_ITEMS; nth += 1) flood.update({ id: `i${nth}`, parent: `i${nth - 1}` });
  assert.equal(flood.items.size, MAX_ITEMS);
  let depth = 0;
  for (let [node] = flood.tree().roots; node; [node] = node.parts) depth += 1;
  assert.equal(depth, MAX_ITEMS);
  assert.equal(progressOf({ id: '__proto__', done: 1, total: 2 }).fraction(), 0.5);
});

test('data that says nothing of progress is none', () => {
  for (const data of [null, 'half', [1], { message: 'x' }, { done: '1' }]) assert.equal(new Progress().update(data), undefined);
});
