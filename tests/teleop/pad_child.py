"""`robot-orl` with a game controller of SDL's own in it, which another process plays.

Its first word is a Unix socket where lines are sent, each answered by a line once SDL has taken it:

    plug | unplug | axis NUMBER VALUE | button NUMBER DOWN       numbers as SDL has them; VALUE in [-1, 1]
"""

import socket
import sys
import threading
import time

import sdl2

from robot_orl.cli import main


def play(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        client, _ = server.accept()
    while not sdl2.SDL_WasInit(sdl2.SDL_INIT_JOYSTICK):
        time.sleep(0.005)
    index, pad = -1, None
    with client, client.makefile("rw") as lines:
        for line in lines:
            what, *words = line.split()
            if what == "plug":
                index = sdl2.SDL_JoystickAttachVirtual(sdl2.SDL_JOYSTICK_TYPE_GAMECONTROLLER, 6, 15, 0)
                pad = sdl2.SDL_JoystickOpen(index)
            elif what == "unplug":
                sdl2.SDL_JoystickDetachVirtual(index)
            elif what == "axis":
                sdl2.SDL_JoystickSetVirtualAxis(pad, int(words[0]), round(32767 * float(words[1])))
            elif what == "button":
                sdl2.SDL_JoystickSetVirtualButton(pad, int(words[0]), int(words[1]))
            lines.write("done\n")
            lines.flush()


if __name__ == "__main__":
    threading.Thread(target=play, args=(sys.argv.pop(1),), daemon=True).start()
    sys.exit(main())
