using Hydragen.Core;
using Hydragen.Testing;

namespace Hydragen.Cpu.Tests;

public sealed unsafe class GuardPageTests
{
    public static TheoryData<string, bool> Cases
    {
        get
        {
            var cases = new TheoryData<string, bool>();
            foreach (string name in InstructionSets.Names)
            {
                cases.Add(name, true);
                cases.Add(name, false);
            }
            return cases;
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Bytes_outside_guarded_memory_are_inaccessible(bool flushToEnd)
    {
        SkipWithoutGuards();
        using var memory = new GuardedMemory(100, flushToEnd);
        Assert.True(GuardedMemory.IsReadable(memory.Pointer));
        Assert.True(GuardedMemory.IsReadable(memory.Pointer + 99));
        Assert.False(GuardedMemory.IsReadable(flushToEnd ? memory.Pointer + 100 : memory.Pointer - 1));
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Attention_stays_inside_its_buffers(string instructionSet, bool flushToEnd) => Run(instructionSet, flushToEnd, backend =>
    {
        for (int seed = 0; seed < 8; seed++) RandomTrees.Create(seed).Verify(backend);
        foreach (ElementType type in ElementTypes.All)
        {
            foreach (int headDim in (int[])[8, 16, 24, 40, 72, 136, 248])
            {
                var scenario = new Scenario(new AttentionShape(2, 2, headDim), headDim) { Type = type, OutputType = Scenario.QueryTypeFor(type), NumSparePages = 0 };
                int root = scenario.AddNode(-1, 64);
                scenario.AddSequence(root, 3, 64);
                scenario.Fill().Verify(backend);
            }
        }
        foreach (int headDim in (int[])[64, 96, 128]) PairAttentionTests.Batch(headDim, 576, 9, headDim).Fill().Verify(backend);
    });

    [Theory]
    [MemberData(nameof(Cases))]
    public void Matrix_products_stay_inside_their_buffers(string instructionSet, bool flushToEnd) => Run(instructionSet, flushToEnd, backend =>
    {
        for (int size = 1; size <= 70; size += 3)
        {
            ElementType type = (ElementType)(size % 3), other = (ElementType)(size / 3 % 3);
            OperatorConformance.Linear(backend, 1 + size % 7, size, 71 - size, type, other, type, hasBias: true);
        }
        OperatorConformance.Embeddings(backend);
        OperatorConformance.Logits(backend);
        for (int size = 1; size <= 150; size += 7)
            Int8LinearTests.Verify(backend, 1 + size % 7, 1 + size % 50, size, (ElementType)(size % 3), (ElementType)(size / 3 % 3), hasBias: true);
        Int8LinearTests.VerifyLogits(backend);
    });

    [Theory]
    [MemberData(nameof(Cases))]
    public void Elementwise_operators_stay_inside_their_buffers(string instructionSet, bool flushToEnd) => Run(instructionSet, flushToEnd, backend =>
    {
        for (int size = 1; size <= 36; size++)
        {
            OperatorConformance.Norms(backend, size);
            OperatorConformance.Activation(backend, size, (ActivationKind)(size % 3));
        }
        foreach (int headDim in (int[])[8, 24, 40])
            OperatorConformance.RotaryAppend(backend, CacheReader.Read, new RotaryCase(headDim, headDim - 6, true, ElementType.BFloat16, ElementType.Float16, headDim));
    });

    private static void Run(string instructionSet, bool flushToEnd, Action<CpuBackend> verify)
    {
        SkipWithoutGuards();
        var allocator = new GuardedAllocator(flushToEnd);
        using (var backend = new CpuBackend(new CpuOptions { InstructionSet = instructionSet, NumThreads = 2 }, allocator)) verify(backend);
        // Tables of rotary embeddings that nobody holds any more are left to the finalizer.
        GC.Collect();
        GC.WaitForPendingFinalizers();
        Assert.Equal(0, allocator.NumLive);
    }

    private static void SkipWithoutGuards()
    {
        if (!GuardedMemory.IsSupported) Assert.Skip("Guard pages are set up through mmap, which only Linux has in this form.");
    }
}
