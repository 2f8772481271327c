"""What the Pairings page reads, kept for all visitors while profiles, grids and runs stay the same."""

import streamlit as st

from hybrid.errors import StoreError
from hybrid.presentation.views.pairings.cells import PairCell, pair_cells
from hybrid.presentation.views.pairings.measured import MeasuredPairs, error_sentence, measured_pairs
from hybrid.presentation.views.pairings.sources import Device, Sources, sources, sources_stamp
from hybrid.sizing import Request
from pages.common.notes import note


def known() -> Sources:
    """Devices and shapes; the page ends with a sentence when the folder cannot be read."""
    try:
        return _known(sources_stamp())
    except StoreError as error:
        note(str(error), "error")
        st.stop()


def measured(device: Device) -> MeasuredPairs:
    """What the device's grids have."""
    return _measured(sources_stamp(), device.name, device)


def error(device: Device) -> str:
    """How far its predictions are off, in a sentence."""
    return _error(sources_stamp(), device.name, device)


def cells(
    device: Device, llms: tuple[str, ...], slms: tuple[str, ...], request: Request
) -> tuple[PairCell, ...]:
    """The map's cells. llms, slms: names of known shapes."""
    return _cells(sources_stamp(), device.name, llms, slms, request, device)


# By stamp: what was written to is read anew. Nothing that is returned may be changed.
@st.cache_resource(show_spinner=False, max_entries=2)
def _known(stamp: str) -> Sources:
    return sources()


@st.cache_resource(show_spinner=False, max_entries=16)
def _measured(stamp: str, name: str, _device: Device) -> MeasuredPairs:
    return measured_pairs(_device, _known(stamp).shapes)


@st.cache_resource(show_spinner=False, max_entries=16)
def _error(stamp: str, name: str, _device: Device) -> str:
    return error_sentence(_device, _measured(stamp, name, _device))


@st.cache_resource(show_spinner=False, max_entries=256)
def _cells(
    stamp: str,
    name: str,
    llms: tuple[str, ...],
    slms: tuple[str, ...],
    request: Request,
    _device: Device,
) -> tuple[PairCell, ...]:
    shapes = _known(stamp).shapes
    found = _measured(stamp, name, _device)
    return pair_cells(_device, found, [shapes[one] for one in llms], [shapes[one] for one in slms], request)
