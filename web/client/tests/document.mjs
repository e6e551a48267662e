// As much of a document as Markdown is built of, which counts what is made: in Node there is none.

class FakeNode {
  parent = null;

  get lastChild() {
    return this.children.at(-1) ?? null;
  }

  remove() {
    const siblings = this.parent?.children;
    // From the end: that is where what grows is.
    if (siblings) siblings.splice(siblings.lastIndexOf(this), 1);
    this.parent = null;
  }

  get isConnected() {
    return this.parent !== null;
  }

  contains(other) {
    for (let node = other; node; node = node.parent) if (node === this) return true;
    return false;
  }
}

class FakeText extends FakeNode {
  nodeType = 3;
  children = [];

  constructor(page, text) {
    super();
    this.page = page;
    this.pieces = [text];
    this.length = text.length;
  }

  appendData(text) {
    this.page.characters += text.length;
    this.pieces.push(text);
    this.length += text.length;
  }

  get textContent() {
    return this.pieces.join('');
  }

  get outerHTML() {
    return this.textContent.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');
  }
}

class FakeElement extends FakeNode {
  nodeType = 1;
  attributes = new Map();
  children = [];

  constructor(page, name) {
    super();
    this.ownerDocument = page;
    this.localName = name;
  }

  append(...nodes) {
    for (const node of nodes) {
      const child = typeof node === 'string' ? this.ownerDocument.createTextNode(node) : node;
      child.remove();
      child.parent = this;
      this.children.push(child);
    }
  }

  setAttribute(name, value) {
    this.attributes.set(name, value);
  }

  set className(value) {
    this.setAttribute('class', value);
  }

  get textContent() {
    return this.children.map((child) => child.textContent).join('');
  }

  set textContent(text) {
    this.children = [];
    if (text) this.append(text);
  }

  get innerHTML() {
    return this.children.map((child) => child.outerHTML).join('');
  }

  get outerHTML() {
    const attributes = [...this.attributes].map(([name, value]) => ` ${name}="${value}"`).join('');
    const isVoid = this.localName === 'br' || this.localName === 'hr';
    return `<${this.localName}${attributes}>${isVoid ? '' : `${this.innerHTML}</${this.localName}>`}`;
  }
}

export class FakeDocument {
  /** How many nodes were made, and how many characters of text. */
  nodes = 0;
  characters = 0;

  createElement(name) {
    this.nodes += 1;
    return new FakeElement(this, name);
  }

  createTextNode(text) {
    this.nodes += 1;
    this.characters += text.length;
    return new FakeText(this, text);
  }
}

/** How deep elements are in each other. */
export function depthOf(element) {
  let deepest = 0;
  const left = [[element, 0]];
  while (left.length > 0) {
    const [node, depth] = left.pop();
    deepest = Math.max(deepest, depth);
    for (const child of node.children) if (child.nodeType === 1) left.push([child, depth + 1]);
  }
  return deepest;
}
