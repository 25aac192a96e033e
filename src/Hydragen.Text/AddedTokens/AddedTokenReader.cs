using Hydragen.Text.Json;
using Hydragen.Text.Models;

namespace Hydragen.Text.AddedTokens;

/// <summary>Reads the section <c>added_tokens</c>.</summary>
internal static class AddedTokenReader
{
    // Bounds the time of matching; the longest known added tokens have some 50 characters.
    private const int MaximumContentLength = 512;

    /// <param name="field">The array of added tokens.</param>
    /// <param name="modelIds">The model's own pieces, with which the added tokens must not clash.</param>
    public static List<AddedToken> Read(JsonField field, Dictionary<string, int> modelIds)
    {
        List<AddedToken> tokens = [];
        Dictionary<string, AddedToken> byContent = [];
        Dictionary<int, string> byId = new(modelIds.Count);
        foreach ((string token, int id) in modelIds)
            byId.Add(id, token);
        foreach (JsonField item in field.Items())
        {
            AddedToken token = ReadToken(item);

            // An empty token could match nothing, or everywhere; the format's reference implementation ignores it too.
            if (token.Content.Length == 0)
                continue;
            if (byContent.TryGetValue(token.Content, out AddedToken? earlier))
            {
                if (earlier != token)
                    throw item.Error($"the added token '{JsonField.Shorten(token.Content)}' occurs twice with different settings");
                continue;
            }

            RequireConsistentId(item, token, modelIds, byId);
            byId[token.Id] = token.Content;
            byContent.Add(token.Content, token);
            tokens.Add(token);
        }

        return tokens;
    }

    private static AddedToken ReadToken(JsonField item)
    {
        JsonField content = item.Required("content");
        string text = content.AsString();
        if (text.Length > MaximumContentLength)
            throw content.Error($"the text has {text.Length} characters, at most {MaximumContentLength} are supported");
        return new AddedToken(
            BytePairModelReader.ReadId(item.Required("id")),
            text,
            item.RequiredBoolean("single_word"),
            item.RequiredBoolean("lstrip"),
            item.RequiredBoolean("rstrip"),
            item.RequiredBoolean("normalized"),
            item.RequiredBoolean("special"));
    }

    private static void RequireConsistentId(
        JsonField item, AddedToken token, Dictionary<string, int> modelIds, Dictionary<int, string> byId)
    {
        if (modelIds.TryGetValue(token.Content, out int modelId))
        {
            if (modelId != token.Id)
            {
                throw item.Error(
                    $"the added token '{JsonField.Shorten(token.Content)}' has id {token.Id}, the model's vocabulary says {modelId}");
            }
        }
        else if (byId.TryGetValue(token.Id, out string? holder))
        {
            throw item.Error(
                $"the added token '{JsonField.Shorten(token.Content)}' has id {token.Id}, which belongs to '{JsonField.Shorten(holder)}'");
        }
    }
}
