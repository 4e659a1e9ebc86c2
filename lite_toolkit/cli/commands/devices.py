"""`lite-toolkit devices` and `doctor`."""

import click

from lite_toolkit.cli.commands.options import Command, Delivery, on_devices, reporting
from lite_toolkit.documents import document
from lite_toolkit.errors import JobError


@click.command(cls=Command)
@reporting
def devices(delivery: Delivery) -> None:
    """List the profiles of devices that `--device` takes."""
    from lite_toolkit.cli.tables import devices as tables
    from lite_toolkit.devices import profiles

    found = [profiles.load(name) for name in profiles.names()]
    content = {"devices": [tables.profile(device) for device in found]}
    delivery.send(document("devices", content), lambda: tables.show_profiles(found))


@click.command(cls=Command)
@on_devices
@reporting
def doctor(device: tuple[str, ...], delivery: Delivery) -> None:
    """Look whether this machine, or each --device, can run models, and say what to do where it cannot."""
    from lite_toolkit.cli.tables import devices as tables
    from lite_toolkit.devices import doctor as doctors
    from lite_toolkit.devices import profiles

    found = doctors.examine(profiles.load_all(device))
    delivery.send(document("doctor", tables.doctor(found)), lambda: tables.show_doctor(found))
    useless = [name for name, findings in found.items() if not doctors.usable(findings)]
    if useless:
        raise JobError(f"{', '.join(useless)}: cannot be used as they are, see what failed")
