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

/// <summary>The same, each with every type of keys and values; queries have it too, or are BF16 beside bytes.</summary>
public sealed class InstructionSetsAndTypes : TheoryData<string, ElementType>
{
    public InstructionSetsAndTypes()
    {
        foreach (string name in InstructionSets.Names)
        {
            foreach (ElementType type in ElementTypes.All) Add(name, type);
        }
    }
}
