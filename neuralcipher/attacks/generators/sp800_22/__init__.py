"""The fifteen statistical tests of NIST SP 800-22 rev. 1a, and what many sequences together say.

Necessary, not sufficient. A failure means that bits can be told from fair coins by a simple count, and with it a cipher
whose keystream they are. A pass means that these counts find nothing: a linear shift register with a long period or a
counter hashed by a broken function passes too, and so does every keystream whose key is known to the attacker. No
result here is evidence of security.

One sequence says little: of 188 p-values of an ideal source some two are below 0.01. So run many sequences and judge
them with `assess`. `run_suite` runs the battery on one sequence; `TESTS` lists it.

Where the publication prints rounded or asymptotic constants, the exact ones are the default here, since over many
sequences the difference shows as a failure of an ideal source; `published=True` reproduces the printed figures.
Source: Rukhin et al., A statistical test suite for random and pseudorandom number generators for cryptographic
applications, NIST Special Publication 800-22 revision 1a (2010).
"""

from neuralcipher.attacks.generators.sp800_22.assessment import ALPHA, AssessedRow, Assessment, assess, collect
from neuralcipher.attacks.generators.sp800_22.common import Bits, Outcome
from neuralcipher.attacks.generators.sp800_22.suite import TESTS, rows, run_suite

__all__ = ["ALPHA", "TESTS", "AssessedRow", "Assessment", "Bits", "Outcome", "assess", "collect", "rows", "run_suite"]
