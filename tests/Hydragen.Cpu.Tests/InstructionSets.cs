using Hydragen.Core;

namespace Hydragen.Cpu.Tests;

/// <summary>Theory data: every instruction set that this machine can run.</summary>
public sealed class InstructionSets : TheoryData<string>
{
    public InstructionSets()
    {
        foreach (string name in Names) Add(name);
    }

    internal static IEnumerable<string> Names => InstructionSet.All.Where(row => row.IsSupported).Select(row => row.Name);

    internal static CpuBackend Backend(string name, int numThreads = 2) => new(new CpuOptions { InstructionSet = name, NumThreads = numThreads });
}

/// <summary>The same, each with FP32 queries, keys and values and with BF16 ones, which some compute by other kernels.</summary>
public sealed class InstructionSetsAndTypes : TheoryData<string, ElementType>
{
    public InstructionSetsAndTypes()
    {
        foreach (string name in InstructionSets.Names)
        {
            Add(name, ElementType.Float32);
            Add(name, ElementType.BFloat16);
        }
    }
}
