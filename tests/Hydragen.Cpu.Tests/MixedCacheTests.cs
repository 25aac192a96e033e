using Hydragen.Core;
using Hydragen.Testing;

namespace Hydragen.Cpu.Tests;

public sealed class MixedCacheTests
{
    /// <summary>Instruction sets and pairs of types.</summary>
    public static TheoryData<string, ElementType, ElementType> Types
    {
        get
        {
            var types = new TheoryData<string, ElementType, ElementType>();
            foreach (string name in InstructionSets.Names)
            {
                foreach ((ElementType suffix, ElementType prefix) in MixedCacheConformance.Types) types.Add(name, suffix, prefix);
            }
            return types;
        }
    }

    [Theory]
    [MemberData(nameof(Types))]
    public void Prefixes_with_a_type_of_their_own_agree_with_the_reference(string instructionSet, ElementType suffixType, ElementType prefixType)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        MixedCacheConformance.Attention(backend, suffixType, prefixType);
        MixedCacheConformance.LongPrefix(backend, suffixType, prefixType);
    }

    [Theory]
    [ClassData(typeof(InstructionSets))]
    public void The_type_of_all_others_for_prefixes_changes_no_bit(string instructionSet)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        foreach (ElementType type in ElementTypes.All) MixedCacheConformance.SameType(backend, type);
    }

    [Theory]
    [InlineData(ElementType.Int8, ElementType.BFloat16)]
    [InlineData(ElementType.BFloat16, ElementType.Float32)]
    public void Sharing_and_batches_change_no_bit_of_a_row(ElementType suffixType, ElementType prefixType)
    {
        using CpuBackend backend = new();
        var scenario = new Scenario(new AttentionShape(4, 2, 64), 3) { KvType = suffixType, PrefixKvType = prefixType, QueryType = ElementType.BFloat16 };
        int root = scenario.AddNode(-1, 1500);
        scenario.AddSequence(-1, 2, 1100);
        for (int i = 0; i < 6; i++) scenario.AddSequence(root, 1, 1 + 20 * i);
        scenario.Fill();
        (float[] shared, float[] sharedLogs) = scenario.Run(backend, scenario.Plan());
        (float[] paged, float[] pagedLogs) = scenario.Run(backend, scenario.Plan(SharingMode.Paged));
        Assert.Equal(shared, paged);
        Assert.Equal(sharedLogs, pagedLogs);
        for (int i = 0; i < 7; i++)
        {
            Scenario one = scenario.Choose(i);
            (float[] alone, _) = one.Run(backend, one.Plan());
            Assert.Equal(shared[(scenario.FirstRow(i) * 256)..(scenario.FirstRow(i) * 256 + alone.Length)], alone);
        }
    }

    [Fact]
    public void Pages_have_a_kind_from_beginning_to_end()
    {
        using CpuBackend backend = new();
        MixedCacheConformance.Pages(backend);
    }

    [Fact]
    public void Nothing_crosses_the_border_between_the_kinds()
    {
        using CpuBackend backend = new();
        MixedCacheConformance.Borders(backend);
    }

    [Fact]
    public void The_operator_rounds_nodes_and_sequences_to_their_types()
    {
        using CpuBackend backend = new();
        MixedCacheConformance.Operator(backend);
    }
}
