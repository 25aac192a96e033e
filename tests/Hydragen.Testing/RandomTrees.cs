using Hydragen.Core;

namespace Hydragen.Testing;

/// <summary>Random shapes, options, types, trees and lengths.</summary>
public static class RandomTrees
{
    /// <summary>The tree of a seed, filled.</summary>
    public static Scenario Create(int seed)
    {
        var random = new Random(seed);
        int kvHeads = random.Next(1, 4), group = random.Next(1, 5), headDim = 8 * random.Next(1, 9);
        var options = new AttentionOptions
        {
            SlidingWindow = random.Next(3) == 0 ? random.Next(1, 150) : null,
            LogitSoftCap = random.Next(3) == 0 ? 5 : null,
            Scale = random.Next(3) == 0 ? 0.3f : null,
            AlibiSlopes = random.Next(3) == 0 ? AlibiSlopes.ForHeads(kvHeads * group) : default,
        };
        var scenario = new Scenario(new AttentionShape(kvHeads * group, kvHeads, headDim), seed)
        {
            Options = options,
            KvType = (ElementType)random.Next(3),
            QueryType = (ElementType)random.Next(3),
            OutputType = (ElementType)random.Next(3),
        };
        AddChildren(-1, random.Next(5));
        if (random.Next(2) == 0) scenario.AddSequence(-1, random.Next(1, 9), 0);
        return scenario.Fill();

        void AddChildren(int parent, int depth)
        {
            int numSequences = random.Next(depth == 0 ? 1 : 0, 4);
            for (int i = 0; i < numSequences; i++)
            {
                int numQueries = random.Next(1, 6);
                scenario.AddSequence(parent, numQueries, random.Next(4) == 0 ? 0 : numQueries + random.Next(90));
            }
            if (depth == 0) return;
            int numChildren = random.Next(1, 4);
            for (int i = 0; i < numChildren; i++) AddChildren(scenario.AddNode(parent, random.Next(5) == 0 ? 0 : random.Next(1, 200)), depth - 1);
        }
    }
}
