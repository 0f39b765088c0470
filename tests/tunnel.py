"""A proxy that lets connections through, and remembers to where."""

from __future__ import annotations

import contextlib
import socket
import threading


class Tunnel:
    """Answers CONNECT by connecting to `port` of this machine, whatever was asked."""

    def __init__(self, port):
        self._to = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.asked = []
        threading.Thread(target=self._serve, daemon=True).start()

    def stop(self):
        self._listening.close()

    def _serve(self):
        while True:
            try:
                one, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(one,), daemon=True).start()

    def _talk(self, one):
        head = b""
        while b"\r\n\r\n" not in head:
            head += one.recv(4096)
        self.asked.append(head)
        other = socket.create_connection(("127.0.0.1", self._to))
        one.sendall(b"HTTP/1.1 200 Go on\r\n\r\n")
        back = threading.Thread(target=_pump, args=(other, one), daemon=True)
        back.start()
        _pump(one, other)
        back.join()
        one.close()
        other.close()


def _pump(source, sink):
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for end in (source, sink):
        with contextlib.suppress(OSError):  # closed already
            end.shutdown(socket.SHUT_RDWR)
