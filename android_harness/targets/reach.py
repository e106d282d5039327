"""The ways to a device: its daemon over TCP or USB, or the adb server."""

from __future__ import annotations

from android_harness.adb.connection import AdbConnection
from android_harness.adb.keys import KeySigner, load_keys
from android_harness.adb.link import AdbTimeouts
from android_harness.adb.server import AdbServer
from android_harness.adb.server_connection import ServerConnection
from android_harness.adb.socket_meter import SocketMeter
from android_harness.adb.tcp_transport import WholeTcpTransport
from android_harness.errors import (
    DeviceBusyError,
    DeviceForbiddenError,
    DeviceGoneError,
    UnsupportedDeviceError,
)
from android_harness.targets.adb_target import AdbTarget


def open_server_target(serial: str, server: AdbServer) -> AdbTarget:
    """A device that the adb server knows, over USB, network or wireless debugging.

    Raises:
        UnauthorizedError, DeviceOfflineError, DeviceForbiddenError, AmbiguousDeviceError,
        NotAndroidError: as the server says.
        DeviceGoneError: the server does not list it.
    """
    name = f"adb:{serial}"
    meter = SocketMeter()
    return AdbTarget(
        name, lambda: ServerConnection(server, serial, device=name, meter=meter), meter=meter
    )


def open_tcp_target(host: str, port: int, *, timeouts: AdbTimeouts) -> AdbTarget:
    """A device whose daemon listens on TCP (`adb tcpip 5555`, an emulator, a fake phone).

    Raises:
        UnauthorizedError, DeviceGoneError, DeviceTimeoutError, DeviceProtocolError
    """
    name = f"adb-tcp:[{host}]:{port}" if ":" in host else f"adb-tcp:{host}:{port}"
    keys = load_keys()
    meter = SocketMeter()

    def connect() -> AdbConnection:
        transport = WholeTcpTransport(host, port, meter)
        connection = AdbConnection(transport, device=name, timeouts=timeouts)
        return _connected(connection, keys)

    return AdbTarget(name, connect, meter=meter)


def open_usb_target(serial: str, *, timeouts: AdbTimeouts) -> AdbTarget:
    """A device on USB that no adb server holds.

    Raises:
        DeviceBusyError: another program has claimed it.
        DeviceForbiddenError: this user may not open it.
        DeviceGoneError: no such device is plugged in.
        UnsupportedDeviceError: this machine has no libusb.
        UnauthorizedError, DeviceTimeoutError, DeviceProtocolError
    """
    name = f"adb:{serial}"
    try:
        import usb1
        from adb_shell.exceptions import UsbDeviceNotFoundError

        from android_harness.adb.usb_transport import ZeroTerminatedUsbTransport
    except (ImportError, OSError) as error:
        raise UnsupportedDeviceError(
            f"USB is not available on this machine: {error}",
            device=name,
            remedy="install libusb 1.0, or use --target adb-tcp:HOST:PORT",
        ) from error
    keys = load_keys()

    def connect() -> AdbConnection:
        try:
            transport = ZeroTerminatedUsbTransport.find_adb(serial=serial)
            connection = AdbConnection(transport, device=name, timeouts=timeouts)
            return _connected(connection, keys)
        except UsbDeviceNotFoundError as error:
            raise DeviceGoneError(
                "no adb server answers, and there is no such device on USB",
                device=name,
                phase="connecting",
                remedy="check the cable and that debugging is on; for a device on the network, "
                "`adb start-server` and `adb connect HOST:PORT`, or use adb-tcp:HOST:PORT",
            ) from error
        except usb1.USBErrorBusy as error:
            raise DeviceBusyError("another program holds it on USB", device=name) from error
        except usb1.USBErrorAccess as error:
            raise DeviceForbiddenError("this user may not open it on USB", device=name) from error
        except usb1.USBError as error:
            raise DeviceGoneError(f"USB failed: {error}", device=name) from error

    return AdbTarget(name, connect, single_connection=True)


def _connected(connection: AdbConnection, keys: list[KeySigner]) -> AdbConnection:
    try:
        connection.connect(keys)
    except BaseException:
        connection.close()
        raise
    return connection
