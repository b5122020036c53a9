#include "contract/differential.h"

int main(void)
{
	return differential_run(&contract_embedded);
}
