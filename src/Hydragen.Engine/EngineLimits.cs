namespace Hydragen.Engine;

/// <summary>What the model allows.</summary>
internal sealed record EngineLimits(int VocabularySize, int ContextLength)
{
    public void CheckTokenIds(IReadOnlyList<int> tokenIds, string what)
    {
        for (int i = 0; i < tokenIds.Count; i++)
        {
            if ((uint)tokenIds[i] >= (uint)VocabularySize)
                throw new ArgumentException($"{what} has the token id {tokenIds[i]} at index {i}; the model's vocabulary has ids 0 to {VocabularySize - 1}.");
        }
    }
}
