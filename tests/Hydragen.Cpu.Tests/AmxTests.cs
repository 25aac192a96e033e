using Hydragen.Core;
using Hydragen.Testing;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Hydragen.Cpu.Tests;

/// <summary>What only the tile unit can get wrong; the operator tests run on it like on every instruction set.</summary>
public sealed class AmxTests
{
    [Fact]
    public void A_wrong_tile_kernel_is_found_by_the_self_test()
    {
        Tile();
        (string Text, Action<Assembler, int, int, int> Emit)[] mutants =
        [
            // Adds to what c holds although it was told not to.
            ("32 rows × 1 strips", (code, tiles, strips, lines) =>
            {
                if (tiles == 2) code.mov(__qword_ptr[rdi + 72], 1);
                AmxTileEmitter.Emit(code, tiles, strips, lines);
            }),
            // Leaves a step out.
            ("16 rows × 2 strips", (code, tiles, strips, lines) =>
            {
                if (strips == 2) code.dec(__qword_ptr[rdi + 64]);
                AmxTileEmitter.Emit(code, tiles, strips, lines);
            }),
            ("16 rows × 1 strips", (code, tiles, strips, lines) => AmxTileEmitter.Emit(code, tiles, strips, lines, quads: true)),
        ];
        foreach ((string text, Action<Assembler, int, int, int> emit) in mutants)
        {
            AmxTile? tile = AmxTile.TryCreate(emit, out string? whyNot);
            Assert.Null(tile);
            Assert.Contains(text, whyNot, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void The_attention_kernels_of_every_head_size_pass_their_self_test()
    {
        Tile();
        for (int headDim = 32; headDim <= 256; headDim += 32)
        {
            Assert.NotNull(AmxAttention.Get(headDim, out string? whyNot));
            Assert.Null(whyNot);
        }
    }

    [Fact]
    public void Without_tiles_the_next_instruction_set_is_taken_and_says_why()
    {
        if (PairTile.Shared is null) Assert.Skip(PairTile.WhyNotShared!);
        IReadOnlyList<InstructionSet> table = InstructionSet.CreateTable(PairTile.Shared, null, null, "the kernel does not permit AMX (errno 1)");
        InstructionSet chosen = InstructionSet.Select(table, string.Empty, out string reason);
        Assert.Equal("avx512bf16", chosen.Name);
        Assert.EndsWith("; amx is off: the kernel does not permit AMX (errno 1)", reason, StringComparison.Ordinal);
    }

    /// <summary>Tiles are configured across managed code: a collection stops threads there, and signals land in kernels.</summary>
    [Fact]
    public void Collections_while_tiles_are_configured_change_nothing()
    {
        Tile();
        using CpuBackend backend = InstructionSets.Backend("amx", numThreads: 3);
        var scenario = new Scenario(new AttentionShape(16, 2, 64), 3) { KvType = ElementType.BFloat16, QueryType = ElementType.BFloat16 };
        int root = scenario.AddNode(-1, 600);
        for (int i = 0; i < 12; i++) scenario.AddSequence(root, 1, 1 + 11 * i);
        scenario.Fill();
        AttentionPlan plan = scenario.Plan();
        using KvCache cache = scenario.CreateCache(backend);
        (float[] expected, float[] expectedLogs) = scenario.Run(backend, plan, cache);
        bool isDone = false;
        var collector = new Thread(() =>
        {
            while (!Volatile.Read(ref isDone))
            {
                GC.Collect(GC.CollectionCount(0) % 8 == 0 ? 2 : 0);
                Thread.Sleep(1);
            }
        });
        collector.Start();
        try
        {
            int before = GC.CollectionCount(0);
            while (GC.CollectionCount(0) < before + 100)
            {
                (float[] output, float[] logs) = scenario.Run(backend, plan, cache);
                Assert.Equal(expected, output);
                Assert.Equal(expectedLogs, logs);
            }
        }
        finally
        {
            Volatile.Write(ref isDone, true);
            collector.Join();
        }
    }

    private static AmxTile Tile()
    {
        if (AmxTile.Shared is null) Assert.Skip(AmxTile.WhyNotShared!);
        return AmxTile.Shared;
    }
}
