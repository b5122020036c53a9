/* test/contract/differential.h — an engine beside the memory engine, operation by operation. */
#ifndef EV_TEST_CONTRACT_DIFFERENTIAL_H
#define EV_TEST_CONTRACT_DIFFERENTIAL_H

#include "contract/contract.h"

/* The number of tests that failed, as main returns it. */
int differential_run(const struct contract_factory *other);

#endif
