#include "contract/contract.h"

int main(void)
{
	return contract_run(&contract_aws);
}
