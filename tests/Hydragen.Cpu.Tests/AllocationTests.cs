using Hydragen.Core;
using Hydragen.Testing;

namespace Hydragen.Cpu.Tests;

/// <summary>Other tests allocate at any time, so these have the process to themselves.</summary>
[Collection(nameof(AllocationTests))]
public sealed class AllocationTests
{
    public static TheoryData<string, ElementType, WeightType> Cases
    {
        get
        {
            var cases = new TheoryData<string, ElementType, WeightType>();
            foreach (string name in InstructionSets.Names)
            {
                foreach (WeightType weightType in Enum.GetValues<WeightType>())
                {
                    cases.Add(name, ElementType.Float32, weightType);
                    cases.Add(name, ElementType.BFloat16, weightType);
                }
            }
            return cases;
        }
    }

    [CollectionDefinition(nameof(AllocationTests), DisableParallelization = true)]
    public sealed class Alone;

    [Theory]
    [MemberData(nameof(Cases))]
    public void A_decode_step_allocates_no_managed_memory(string instructionSet, ElementType computeType, WeightType weightType)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet, 3);
        const int numSequences = 8, hidden = 64, intermediate = 96, vocabulary = 130;
        var shape = new AttentionShape(4, 2, 16);
        var random = new Random(1);
        DeviceBuffer Buffer(int length) => backend.Allocate(ElementType.Float32, length);
        DeviceBuffer Activation(int length) => backend.Allocate(computeType, length);
        using DeviceBuffer residual = Buffer(numSequences * hidden), x = Activation(numSequences * hidden), joint = Activation(numSequences * 8 * 16);
        using DeviceBuffer query = Activation(numSequences * hidden), gateUp = Activation(numSequences * 2 * intermediate);
        using DeviceBuffer gated = Activation(numSequences * intermediate);
        using DeviceBuffer logits = Buffer(numSequences * vocabulary), weight = Buffer(hidden), headWeight = Buffer(16), logSumExp = Buffer(numSequences * 4);
        weight.Upload(RandomTensors.Normal(random, hidden, 1));
        headWeight.Upload(RandomTensors.Normal(random, 16, 1));
        PackedMatrix Pack(int outputSize, int inputSize, bool hasBias) =>
            backend.PackMatrix(new TestMatrix(random, outputSize, inputSize, ElementType.BFloat16, hasBias), weightType);
        using PackedMatrix embedding = backend.PackMatrix(new TestMatrix(random, vocabulary, hidden, ElementType.BFloat16, false));
        using PackedMatrix head = Pack(vocabulary, hidden, false), jointWeights = Pack(128, hidden, true), outWeights = Pack(hidden, hidden, false);
        using PackedMatrix upWeights = Pack(2 * intermediate, hidden, false), downWeights = Pack(hidden, intermediate, false);
        using KvCache cache = backend.CreateKvCache(new KvCacheShape(1, 2, 16, ElementType.BFloat16), 20 + numSequences);
        cache.Write(0, Enumerable.Range(0, (20 + numSequences) * 64).ToArray(), new float[(20 + numSequences) * 64 * 32], new float[(20 + numSequences) * 64 * 32]);
        var rotary = new PlainRotary(16);
        var norm = new QueryKeyNorm(headWeight, headWeight, 1e-6f);
        var options = new AttentionOptions { AlibiSlopes = AlibiSlopes.ForHeads(4), LogitSoftCap = 30, SlidingWindow = 1200 };
        int[] ids = [1, 2, 3, 4, 5, 6, 7, 129], positions = new int[numSequences], slots = new int[numSequences], rows = [0, 1, 2, 3, 4, 5, 6, 7];
        PlanNode[] nodes = [new PlanNode(-1, 0, 1270, Enumerable.Range(0, 20).ToArray())];
        var sequences = new PlanSequence[numSequences];
        int[][] pages = Enumerable.Range(0, numSequences).Select(i => new[] { 20 + i }).ToArray();
        var planner = new TreePlanner();
        AttentionPlan? plan = null;

        void Step(int length)
        {
            for (int i = 0; i < numSequences; i++)
            {
                positions[i] = 1270 + length - 1;
                slots[i] = (20 + i) * KvCache.PageSize + length - 1;
                sequences[i] = new PlanSequence(0, 1, 1270, length, pages[i]);
            }
            plan = planner.Plan(nodes, sequences, SharingMode.Hydragen, plan);
            backend.EmbeddingLookup(embedding, ids, 2, residual);
            backend.RmsNorm(residual, numSequences, weight, 1e-6f, x);
            backend.Linear(x, numSequences, jointWeights, joint);
            backend.RotaryAppend(joint, shape, norm, rotary, positions, slots, cache, 0, query);
            backend.Attention(plan, shape, options, query, cache, 0, query, logSumExp);
            backend.Linear(query, numSequences, outWeights, x);
            backend.AddRmsNorm(residual, x, 0.5f, numSequences, weight, 1e-6f, x);
            backend.Linear(x, numSequences, upWeights, gateUp);
            backend.GatedActivation(gateUp, numSequences, intermediate, ActivationKind.Gelu, gated);
            backend.Linear(gated, numSequences, downWeights, x);
            backend.AddRmsNorm(residual, x, 0.5f, numSequences, weight, 1e-6f, x);
            backend.Logits(x, rows, head, 1, 30, logits);
        }

        for (int length = 1; length <= 40; length++) Step(length);
        // The runtime's own background work (tiering, timers) allocates now and then, so the quietest of some trials counts.
        long fewest = long.MaxValue, onThisThread = long.MaxValue;
        for (int trial = 0; trial < 20 && fewest > 0; trial++)
        {
            long before = GC.GetTotalAllocatedBytes(precise: true), mine = GC.GetAllocatedBytesForCurrentThread();
            Step(41);
            Step(42);
            onThisThread = Math.Min(onThisThread, GC.GetAllocatedBytesForCurrentThread() - mine);
            fewest = Math.Min(fewest, GC.GetTotalAllocatedBytes(precise: true) - before);
        }
        Assert.Equal(0, onThisThread);
        Assert.Equal(0, fewest);
    }
}
