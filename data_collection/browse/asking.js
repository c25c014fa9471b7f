// What the page asks the server, one numbered question at a time or many; see messages.py and server.py.

const AGAIN_MS = 1000;

class Asking {
  // onNews(message): what was not asked for.  onOpen(), onLost(isRefused): the connection.
  constructor({onNews, onOpen, onLost}) {
    Object.assign(this, {onNews, onOpen, onLost, waiting: new Map(), number: 0});
    this.connect();
  }

  connect() {
    const token = document.querySelector("meta[name=token]").content;
    const at = `${location.protocol.replace("http", "ws")}//${location.host}/asks?${new URLSearchParams({token})}`;
    this.socket = new WebSocket(at);
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () => this.onOpen();
    this.socket.onmessage = ({data}) => typeof data === "string" ? this.hear(JSON.parse(data)) : this.hearBytes(data);
    this.socket.onclose = () => {
      for (const {fail} of this.waiting.values()) fail(new Error("the connection is lost"));
      this.waiting.clear();
      this.onLost(false);
      setTimeout(() => this.lookAgain(), AGAIN_MS);
    };
  }

  // Where this page's token is not taken any more, there may be another page at the same address.
  async lookAgain() {
    const token = document.querySelector("meta[name=token]").content;
    const answer = await fetch(location.href).catch(() => null), text = await answer?.text();
    if (answer?.ok && !text.includes(token)) return location.reload();
    if (answer?.status === 403) this.onLost(true);
    this.connect();
  }

  // A promise of the answer: an object, or bytes; an Error says why there is none, or only what it has found.
  ask(say, fields = {}) {
    const number = ++this.number;
    return new Promise((done, fail) => {
      if (this.socket.readyState !== WebSocket.OPEN) return fail(new Error("the connection is lost"));
      this.waiting.set(number, {done, fail});
      this.socket.send(JSON.stringify({say, number, ...fields}));
    });
  }

  hear(message) {
    if (message.say !== "answer") return this.onNews(message);
    this.settle(message.number, ({done, fail}) => message.why ? fail(Object.assign(new Error(message.why), {found: message.found})) : done(message.found));
  }

  hearBytes(data) {
    this.settle(new Uint32Array(data, 0, 1)[0], ({done}) => done(data.slice(4)));
  }

  settle(number, how) {
    const waiting = this.waiting.get(number);
    this.waiting.delete(number);
    if (waiting) how(waiting);
  }
}
