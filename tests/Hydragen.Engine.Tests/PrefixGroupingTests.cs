namespace Hydragen.Engine.Tests;

public sealed class PrefixGroupingTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(16)]
    public void Nodes_and_own_tokens_spell_every_prompt_in_depth_first_order(int minSharedTokens)
    {
        for (int seed = 0; seed < 200; seed++)
        {
            var random = new Random(seed);
            int[][] prompts = RandomPrompts(random);
            var nodes = new List<PrefixNode>();
            var order = new List<PrefixNode?>();
            var found = new Dictionary<int, int[]>();
            new PrefixGrouping(minSharedTokens).Group(prompts, _ => 1, null, (parent, tokenIds) =>
            {
                PrefixNode node = PrefixNode.Create(parent, tokenIds);
                nodes.Add(node);
                return node;
            }, (node, tail, input) =>
            {
                order.Add(node);
                found.Add(input, [.. Spell(node), .. tail]);
            });
            for (int i = 0; i < prompts.Length; i++) Assert.Equal(prompts[i], found[i]);
            foreach (PrefixNode node in nodes)
            {
                int[] users = [.. Enumerable.Range(0, order.Count).Where(i => IsAbove(node, order[i]))];
                Assert.True(users.Length > 1, "A node must be shared.");
                Assert.Equal(users.Length - 1, users[^1] - users[0]);
                bool isEqualPrompts = users.Select(i => string.Join(',', prompts[found.Keys.ElementAt(i)])).Distinct().Count() == 1;
                Assert.True(node.TokenIds.Count >= minSharedTokens || isEqualPrompts || HasEqualPromptsAt(node, order, found));
            }
        }
    }

    [Fact]
    public void Thousands_of_nested_prompts_need_no_recursion()
    {
        int[][] prompts = [.. Enumerable.Range(1, 2000).Select(length => new int[length])];
        int numSequences = 0;
        new PrefixGrouping(1).Group(prompts, _ => 1, null, PrefixNode.Create, (_, _, _) => numSequences++);
        Assert.Equal(prompts.Length, numSequences);
    }

    private static int[][] RandomPrompts(Random random)
    {
        var prompts = new List<int[]>();
        for (int count = random.Next(1, 12); count > 0; count--)
        {
            // Few symbols and reuse of earlier prompts make common prefixes and equal prompts likely.
            int[] start = prompts.Count > 0 && random.Next(3) > 0 ? prompts[random.Next(prompts.Count)] : [];
            start = start[..random.Next(start.Length + 1)];
            prompts.Add([.. start, .. Enumerable.Range(0, random.Next(random.Next(2) == 0 ? 2 : 25)).Select(_ => random.Next(2))]);
        }
        return [.. prompts];
    }

    private static bool HasEqualPromptsAt(PrefixNode node, List<PrefixNode?> order, Dictionary<int, int[]> found)
    {
        int[] spelled = [.. Spell(node)];
        return found.Values.Count(prompt => prompt.SequenceEqual(spelled)) > 1 && order.Contains(node);
    }

    private static IEnumerable<int> Spell(PrefixNode? node) => node is null ? [] : Spell(node.Parent).Concat(node.TokenIds);

    private static bool IsAbove(PrefixNode node, PrefixNode? other)
    {
        for (; other is not null; other = other.Parent)
        {
            if (other == node) return true;
        }
        return false;
    }
}
