// What preview2-shim for Node does for us on its own I/O thread.

/** Called by the shim; gives the function that `callExtension` calls. */
export default function extension({ createFuture, getStream }) {
  let woken = false;
  let wake = () => (woken = true);
  let channel;
  /** The requests that are under way, by the stream of their body. */
  const requests = new Map();
  const operations = {
    /** Wakes by messages on this channel from now on. */
    listen({ name }) {
      channel = new BroadcastChannel(name);
      channel.onmessage = () => wake();
      channel.unref();
    },
    /** A future that ends with the next message on the channel. */
    next() {
      return createFuture(
        new Promise((resolve) => {
          if (woken) resolve();
          woken = false;
          wake = resolve;
        }),
      );
    },
    /** Learns the request that this body will go to. */
    watch({ id }) {
      const body = getStream(id);
      body.pipe = (request, ...options) => {
        requests.set(id, request);
        request.once("close", () => requests.delete(id));
        return Object.getPrototypeOf(body).pipe.call(body, request, ...options);
      };
    },
    /** Closes the connection of a request whose response nobody waits for. */
    abort({ id }) {
      requests.get(id)?.destroy();
    },
    /** Closes the connection of a response that is not read to its end. */
    close({ id }) {
      try {
        getStream(id).destroy();
      } catch {
        // It has ended.
      }
    },
  };
  return (operation, args) => operations[operation](args);
}
