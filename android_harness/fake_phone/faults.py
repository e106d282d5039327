"""What a fake phone does wrong on demand."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Faults:
    """Faults to inject; the default is a healthy phone. Byte counts start after the handshake.

    Attributes:
        never_authorize: asks for signatures and accepts none, then stays silent.
        end_after_bytes: closes the connection once it has received so many bytes.
        reset_after_bytes: the same with a TCP reset.
        stall_after_bytes: stops reading and answering once it has received so many bytes.
        refuse_service: refuses to open services that start so.
        fail_push_after_bytes: answers a push with FAIL once it has so many bytes of content, and
            ends a command that got so much input.
        fail_message: the text of that FAIL, and what that command says last.
        silent_after_fail: acknowledges nothing more after that FAIL.
        corrupt_push: stores pushed content, and hands input over, with its last byte changed.
        omit_exit_packet: ends commands without reporting their exit code.
        vanish_at_exit: drops the connection when a command ends.
        read_delay_s: waits so long before it takes each packet.
        refuse_connections: closes every new connection at once.
        drop_after_s: cuts each connection off so long after it began.
    """

    never_authorize: bool = False
    end_after_bytes: int | None = None
    reset_after_bytes: int | None = None
    stall_after_bytes: int | None = None
    refuse_service: str | None = None
    fail_push_after_bytes: int | None = None
    fail_message: str = "write failed: No space left on device"
    silent_after_fail: bool = False
    corrupt_push: bool = False
    omit_exit_packet: bool = False
    vanish_at_exit: bool = False
    read_delay_s: float = 0.0
    refuse_connections: bool = False
    drop_after_s: float | None = None
