"""What a contact records: the potential that membrane currents make at the contacts.

By reciprocity nothing has to be solved for it. The tissue is a linear conductor with symmetric conductivities, so the
operator that takes currents to potentials is symmetric: the potential at contact c for +1 A at a point is the potential at
the point for +1 A at contact c, which is the lead field. A contact that carries no current is an equipotential floating
surface in both directions.
Sources (recall): H. von Helmholtz 1853 Ann. Phys. 165:211; for electrodes on tissue, Rush & Driscoll 1969 IEEE Trans. Biomed.
Eng. 16:15, 10.1109/TBME.1969.4502598. The impedance matrix of a lead field is symmetric for the same reason.
"""

from __future__ import annotations

import numpy as np

from epidura.errors import BadInput
from epidura.product import Floats, LeadField


def recorded(lead_field: LeadField, points: Floats, currents: Floats) -> Floats:
    """(contacts, t) V at every contact against the far boundary, from ``currents`` (p, t) A at ``points`` (p, 3) m.

    Currents are positive into the tissue: outward membrane currents. Their sum need not be zero; what is left returns at
    the outer boundary of the model, where V = 0. The difference of two rows is a bipolar recording. ``bundle.excite`` with
    ``weights = lead_field.sample(points)`` gives the same for its own fibres without keeping their currents.

    Raises:
        BadInput: arrays that do not fit together or are not finite.
        BadGeometry: a point in a lead or outside the modelled body.
    """
    where, given = np.asarray(points, float), np.asarray(currents, float)
    if where.ndim != 2 or where.shape[1] != 3:
        raise BadInput("points", "are no points in space", got=str(where.shape), allowed="(p, 3) in m")
    if given.ndim != 2 or len(given) != len(where):
        raise BadInput("currents", "are not one row for every point", got=str(given.shape), allowed=f"({len(where)}, t) in A")
    if not np.isfinite(given).all():
        raise BadInput("currents", "are not finite", allowed=f"({len(where)}, t) in A")
    return np.asarray(lead_field.sample(where) @ given)
