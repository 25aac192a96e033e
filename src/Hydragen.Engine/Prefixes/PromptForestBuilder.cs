using Hydragen.Text;

namespace Hydragen.Engine;

/// <summary>Turns the prompts of one call into nodes and sequences.</summary>
internal sealed class PromptForestBuilder
{
    private const int MaxDepth = 256;
    private readonly EngineLimits _limits;
    private readonly GenerationOptions _options;
    private readonly Tokenizer? _tokenizer;
    private readonly bool _streamsText;
    private readonly ulong _seed;
    private readonly Dictionary<ulong, int> _numEqualPrompts = [];
    private readonly PromptForest _forest = new();
    private int _numInputs;

    public PromptForestBuilder(EngineLimits limits, GenerationOptions options, Tokenizer? tokenizer, bool streamsText)
    {
        _limits = limits;
        _options = options;
        _tokenizer = tokenizer;
        if (options.StopStrings.Count > 0 && tokenizer is null)
            throw new ArgumentException("Stop strings need a tokenizer, and the model has none.");
        _streamsText = tokenizer is not null && (streamsText || options.StopStrings.Count > 0);
        _seed = options.Seed ?? (ulong)System.Random.Shared.NextInt64(long.MinValue, long.MaxValue);
    }

    /// <summary>Keeps the tree as the caller drew it; a leaf with one completion becomes the sequence's own tokens.</summary>
    public PromptForest BuildTree(IReadOnlyList<PromptNode> roots, PrefixNode? parent)
    {
        for (int i = 0; i < roots.Count; i++) AddTreeNode(roots[i], parent, isRoot: parent is null, [i]);
        return Complete();
    }

    /// <summary>Finds the common prefixes of flat prompts and makes them nodes.</summary>
    public PromptForest BuildFlat(IReadOnlyList<PromptNode> prompts, PrefixNode? parent)
    {
        var tokenIds = new IReadOnlyList<int>[prompts.Count];
        for (int i = 0; i < prompts.Count; i++)
        {
            if (prompts[i].Children.Count > 0) throw new ArgumentException($"Prompt {i} has children; it is not flat.");
            tokenIds[i] = Tokenize(prompts[i], isRoot: parent is null, [i]);
        }
        new PrefixGrouping(_options.MinSharedTokens).Group(
            tokenIds, input => SamplesOf(prompts[input], isLeaf: true, [input]), parent, AddNode,
            (node, tail, input) => AddSequences(node, tail, SamplesOf(prompts[input], isLeaf: true, [input]), input, [input]));
        return Complete();
    }

    /// <summary>Makes one node for a prompt that is to be kept.</summary>
    public PrefixNode BuildPrefix(PromptNode prompt, PrefixNode? parent)
    {
        if (prompt.Children.Count > 0) throw new ArgumentException("A prefix must not have children; extend it instead.");
        IReadOnlyList<int> tokenIds = Tokenize(prompt, isRoot: parent is null, []);
        int length = (parent?.End ?? 0) + tokenIds.Count;
        if (tokenIds.Count == 0) throw new ArgumentException("A prefix needs at least one token.");
        if (length >= _limits.ContextLength)
            throw new ArgumentException($"The prefix has {length} tokens; the model's context holds {_limits.ContextLength}, new tokens included.");
        PrefixNode node = AddNode(parent, tokenIds);
        node.NeedsLastLogits = true;
        Complete();
        return node;
    }

    private PromptForest Complete()
    {
        _forest.CountSharing();
        _forest.AcquireLeases();
        return _forest;
    }

    private void AddTreeNode(PromptNode prompt, PrefixNode? parent, bool isRoot, int[] path)
    {
        if (path.Length > MaxDepth) throw new ArgumentException($"The prompt tree is deeper than {MaxDepth} parts.");
        IReadOnlyList<int> tokenIds = Tokenize(prompt, isRoot, path);
        bool isLeaf = prompt.Children.Count == 0;
        int samples = SamplesOf(prompt, isLeaf, path);
        if (isLeaf && samples == 1)
        {
            AddSequences(parent, tokenIds, 1, _numInputs++, path);
            return;
        }
        PrefixNode? node = tokenIds.Count == 0 ? parent : AddNode(parent, tokenIds);
        if (samples > 0) AddSequences(node, [], samples, _numInputs++, path);
        for (int i = 0; i < prompt.Children.Count; i++) AddTreeNode(prompt.Children[i], node, isRoot: false, [.. path, i]);
    }

    private int SamplesOf(PromptNode prompt, bool isLeaf, int[] path)
    {
        int samples = prompt.Samples ?? (isLeaf ? _options.SamplesPerPrompt : 0);
        if (samples < (isLeaf ? 1 : 0)) throw new ArgumentException($"Prompt {Name(path)} asks for {samples} samples; a leaf needs at least 1.");
        return samples;
    }

    private IReadOnlyList<int> Tokenize(PromptNode prompt, bool isRoot, int[] path)
    {
        if (prompt.TokenIds is not null)
        {
            if (prompt.Text is not null) throw new ArgumentException($"Prompt {Name(path)} has both text and token ids; give one.");
            _limits.CheckTokenIds(prompt.TokenIds, $"Prompt {Name(path)}");
            return prompt.TokenIds;
        }
        if (prompt.Text is null) throw new ArgumentException($"Prompt {Name(path)} has neither text nor token ids.");
        if (_tokenizer is null) throw new ArgumentException($"Prompt {Name(path)} is text, but the model has no tokenizer; give token ids.");
        int[] tokenIds = _tokenizer.Encode(prompt.Text, addSpecialTokens: isRoot);
        _limits.CheckTokenIds(tokenIds, $"Prompt {Name(path)}");
        return tokenIds;
    }

    private PrefixNode AddNode(PrefixNode? parent, IReadOnlyCollection<int> tokenIds)
    {
        PrefixNode node = PrefixNode.Create(parent, tokenIds);
        _forest.Nodes.Add(node);
        return node;
    }

    private void AddSequences(PrefixNode? parent, IReadOnlyCollection<int> tail, int samples, int inputIndex, int[] path)
    {
        int length = (parent?.End ?? 0) + tail.Count;
        if (length == 0) throw new ArgumentException($"Prompt {Name(path)} is empty; a prompt needs at least one token.");
        if (length >= _limits.ContextLength)
        {
            throw new ArgumentException(
                $"Prompt {Name(path)} has {length} tokens; the model's context holds {_limits.ContextLength}, new tokens included.");
        }
        if (tail.Count == 0) parent!.NeedsLastLogits = true;
        ulong hash = SampleRandom.Hash(tail, parent?.PromptHash ?? 0);
        for (int sample = 0; sample < samples; sample++)
        {
            int number = _numEqualPrompts.GetValueOrDefault(hash);
            _numEqualPrompts[hash] = number + 1;
            int maxNewTokens = Math.Min(_options.MaxNewTokens, _limits.ContextLength - length);
            _forest.Sequences.Add(new Sequence(parent, tail, maxNewTokens)
            {
                InputIndex = inputIndex,
                SampleIndex = sample,
                SampleCount = samples,
                Path = path,
                Random = new SampleRandom(_seed, hash, number),
                LogProbabilities = _options.LogProbabilities ? new List<float>(maxNewTokens) : null,
                Text = _streamsText ? new CompletionText(_tokenizer!.CreateStream(), new StopStringMatcher(_options.StopStrings)) : null,
            });
        }
    }

    private static string Name(int[] path) => path.Length == 1 ? $"{path[0]}" : $"[{string.Join(',', path)}]";
}
